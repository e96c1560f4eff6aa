// The same visits as those of the other SDKs, sent by Segment's SDK for Go as its users write it.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/analytics-go/v3"
)

const clicks, people = 20, 5

// The SDK's callback: Close gives up what is being sent again, so the program waits for every message before.
type outcome struct {
	wait     sync.WaitGroup
	lock     sync.Mutex
	failures int
}

func (o *outcome) Success(analytics.Message) { o.wait.Done() }

func (o *outcome) Failure(_ analytics.Message, err error) {
	o.lock.Lock()
	o.failures++
	o.lock.Unlock()
	fmt.Fprintln(os.Stderr, err)
	o.wait.Done()
}

// Arguments: the platform's address, the write key, the size of the text in each click, and the milliseconds between two
// tries; without the last one the SDK's own.
func main() {
	size, err := strconv.Atoi(os.Args[3])
	if err != nil {
		panic(err)
	}
	sent := &outcome{}
	config := analytics.Config{Endpoint: os.Args[1], Callback: sent}
	if len(os.Args) > 4 {
		pause, err := time.ParseDuration(os.Args[4] + "ms")
		if err != nil {
			panic(err)
		}
		config.RetryAfter = func(int) time.Duration { return pause }
	}
	client, err := analytics.NewWithConfig(os.Args[2], config)
	if err != nil {
		panic(err)
	}
	enqueue := func(message analytics.Message) {
		sent.wait.Add(1)
		if err := client.Enqueue(message); err != nil {
			sent.Failure(message, err)
		}
	}
	enqueue(analytics.Identify{UserId: "u-0", Traits: analytics.NewTraits().Set("plan", "pro")})
	for number := 0; number < clicks; number++ {
		enqueue(analytics.Track{
			UserId:     fmt.Sprintf("u-%d", number%people),
			Event:      "Clicked",
			Properties: analytics.NewProperties().Set("number", number).Set("text", strings.Repeat("x", size)),
		})
	}
	enqueue(analytics.Track{
		UserId:     "u-0",
		Event:      "Order Completed",
		Properties: analytics.NewProperties().SetOrderId("o-1").SetRevenue(12.5).SetCurrency("EUR"),
	})
	sent.wait.Wait()
	client.Close()
	fmt.Println(sent.failures)
}
