// The way of events to the collector: a request for those of 250 ms, again after a failure, a beacon when the page hides.
// An event keeps its messageId, so what is sent twice counts once.

import { endpoint, options } from "./options";
import { chunkOf, delayOf, isPassing, unique } from "./pure";
import { consent, keepUnsent, takeUnsent } from "./state";

export interface QueuedEvent {
  messageId: string;
  context: { page: { title: string } };
}

declare const VERSION: string;

const QUEUE_EVENTS_MAX = 1_000;
const FLUSH_MS = 250;

let queue: QueuedEvent[] = [];
let flying: QueuedEvent[] = []; // those of the request that has no answer yet
let failures = 0;
let timer: ReturnType<typeof setTimeout> | undefined;

export const warn = (...what: unknown[]): void => console.warn("rta.js:", ...what);

export const push = (event: QueuedEvent): void => {
  queue.push(event);
  bound();
  wake();
};

/** Send soon; after a failure not before its time. */
export const wake = (): void => {
  timer ??= setTimeout(flush, FLUSH_MS);
};

export const clear = (): void => {
  queue = [];
  takeUnsent();
};

const bound = (): void => {
  const lost = queue.splice(0, queue.length - QUEUE_EVENTS_MAX).length;
  if (lost) warn("lost", lost);
};

const bodyOf = (batch: QueuedEvent[]): string =>
  JSON.stringify({
    writeKey: options.key,
    sentAt: new Date(),
    context: {
      library: { name: "rta.js", version: VERSION },
      locale: navigator.language,
      timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      screen: { width: screen.width, height: screen.height, density: devicePixelRatio },
      userAgent: navigator.userAgent,
    },
    batch,
  });

/** Text without a content type of its own: no browser asks with a preflight first. */
export const flush = async (): Promise<void> => {
  clearTimeout(timer);
  timer = undefined;
  if (flying[0] || !consent()) return;
  queue = unique([...takeUnsent<QueuedEvent>(), ...queue]);
  bound();
  flying = queue.splice(0, chunkOf(queue));
  if (!flying[0]) return;
  let answer: Response | undefined;
  try {
    const body = bodyOf(flying);
    answer = await fetch(endpoint(), { method: "POST", body, keepalive: new Blob([body]).size < 6e4 });
  } catch {
    // No network, or nobody there: the same as a failed server.
  }
  if (!answer || isPassing(answer.status)) {
    queue = flying.concat(queue);
    flying = [];
    clearTimeout(timer);
    timer = setTimeout(flush, delayOf(++failures, answer?.headers.get("retry-after"), Math.random()));
    return;
  }
  flying = [];
  failures = 0;
  if (queue[0]) void flush();
  const said = await answer.json().catch(() => 0);
  if (!answer.ok || said.rejected?.[0]) warn("rejected", said);
};

/** The page may not come back: hand over to the browser, or to storage where the network does not work. */
export const handOver = (): void => {
  if (!consent()) return;
  if (failures || !navigator.onLine) queue = flying.concat(queue);
  else {
    let count = 0;
    while ((count = chunkOf(queue)) && navigator.sendBeacon(endpoint(), bodyOf(queue.slice(0, count)))) queue.splice(0, count);
  }
  if (!queue[0]) return;
  queue = takeUnsent<QueuedEvent>().concat(queue);
  if (keepUnsent(queue)) queue = [];
};
