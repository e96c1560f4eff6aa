import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.TrackMessage;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;

/** The same visits as those of the other SDKs, sent by Segment's SDK for Java as its users write it. */
public class Send {
  static final int CLICKS = 20, PEOPLE = 5;

  /** Arguments: the platform's address, the write key, the size of the text in each click. */
  public static void main(String[] arguments) throws InterruptedException {
    CountDownLatch wait = new CountDownLatch(CLICKS + 2);
    AtomicInteger failures = new AtomicInteger();
    Callback callback =
        new Callback() {
          public void success(Message message) {
            wait.countDown();
          }

          public void failure(Message message, Throwable error) {
            failures.incrementAndGet();
            System.err.println(error);
            wait.countDown();
          }
        };
    Analytics analytics =
        Analytics.builder(arguments[1]).endpoint(arguments[0]).callback(callback).build();
    enqueue(analytics, callback, IdentifyMessage.builder().userId("u-0").traits(Map.of("plan", "pro")));
    String text = "x".repeat(Integer.parseInt(arguments[2]));
    for (int number = 0; number < CLICKS; number++) {
      Map<String, Object> properties = Map.of("number", number, "text", text);
      enqueue(analytics, callback,
          TrackMessage.builder("Clicked").userId("u-" + number % PEOPLE).properties(properties));
    }
    Map<String, Object> order = Map.of("order_id", "o-1", "revenue", 12.5, "currency", "EUR");
    enqueue(analytics, callback, TrackMessage.builder("Order Completed").userId("u-0").properties(order));
    analytics.flush();
    boolean isDone = wait.await(150, TimeUnit.SECONDS);
    analytics.shutdown();
    System.out.println(isDone ? failures.get() : -1);
    System.exit(0); // its HTTP client would keep the process for a minute
  }

  /** The SDK refuses a message that is too large by an exception. */
  static void enqueue(Analytics analytics, Callback callback, MessageBuilder<?, ?> message) {
    try {
      analytics.enqueue(message);
    } catch (IllegalArgumentException error) {
      callback.failure(null, error);
    }
  }
}
