// A fixed upstream and a closed-loop load generator for the gateway's benchmark.
//
//	load upstream ADDRESS TOKENS             an OpenAI-compatible server that answers at once, always the same
//	                                         (20 ms between the tokens where the model is called "paced")
//	load run URL BODY CONCURRENCY SECONDS SPREAD
//	                                         ask as fast as answers come; one JSON object on standard output.
//	                                         SPREAD: over how many milliseconds the clients begin. Streams of the same
//	                                         length that begin together end together, and then come again all at once:
//	                                         that is a measure of how long a crowd waits, not of what a stream waits
//	                                         while others are alive.
//
// The API key that is sent stands in the environment variable LOAD_KEY.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"
)

func main() {
	switch {
	case len(os.Args) == 4 && os.Args[1] == "upstream":
		log.Fatal(serve(os.Args[2], number(os.Args[3])))
	case len(os.Args) == 7 && os.Args[1] == "run":
		length, spread := time.Duration(number(os.Args[5]))*time.Second, time.Duration(number(os.Args[6]))*time.Millisecond
		report(os.Args[2], []byte(os.Args[3]), number(os.Args[4]), length, spread)
	default:
		log.Fatal("usage: load upstream ADDRESS TOKENS | load run URL BODY CONCURRENCY SECONDS SPREAD")
	}
}

func number(text string) int {
	value, err := strconv.Atoi(text)
	if err != nil {
		log.Fatal(err)
	}
	return value
}

const head = `{"id":"c","created":1,"model":"fixed",`

func serve(address string, tokens int) error {
	whole := []byte(head + `"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"fixed"},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":1,"total_tokens":10}}`)
	chunk := func(delta, finish string) []byte {
		return []byte("data: " + head + `"object":"chat.completion.chunk","choices":[{"index":0,"delta":` + delta +
			`,"finish_reason":` + finish + "}]}\n\n")
	}
	token, end := chunk(`{"content":"word "}`, "null"), append(chunk("{}", `"stop"`), "data: [DONE]\n\n"...)
	http.HandleFunc("/v1/models", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[]}`) })
	http.HandleFunc("/v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !bytes.Contains(body, []byte(`"stream":true`)) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(whole)
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		flusher, pause := w.(http.Flusher), time.Duration(0)
		if bytes.Contains(body, []byte(`"model":"paced"`)) {
			pause = 20 * time.Millisecond
		}
		for range tokens {
			time.Sleep(pause)
			w.Write(token)
			flusher.Flush()
		}
		w.Write(end)
	})
	return http.ListenAndServe(address, nil)
}

// result of one request; failed ones have no times.
type result struct {
	first, whole time.Duration
	events       int
	ok           bool
}

func ask(client *http.Client, url string, body []byte) result {
	started := time.Now()
	request, err := http.NewRequest("POST", url, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer "+os.Getenv("LOAD_KEY"))
	answer, err := client.Do(request)
	if err != nil {
		return result{}
	}
	defer answer.Body.Close()
	buffer, content, first := make([]byte, 64*1024), []byte{}, time.Duration(0)
	for {
		n, err := answer.Body.Read(buffer)
		if n > 0 && first == 0 {
			first = time.Since(started)
		}
		content = append(content, buffer[:n]...)
		if err != nil {
			break
		}
	}
	events := bytes.Count(content, []byte("data: "))
	streamed := bytes.Contains(body, []byte(`"stream":true`))
	ok := answer.StatusCode == 200 && (!streamed || bytes.HasSuffix(content, []byte("data: [DONE]\n\n")))
	return result{first, time.Since(started), events, ok}
}

func report(url string, body []byte, concurrency int, length, spread time.Duration) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, MaxConnsPerHost: concurrency}}
	results := make([][]result, concurrency)
	var workers sync.WaitGroup
	started := time.Now()
	for worker := range concurrency {
		workers.Go(func() {
			time.Sleep(spread * time.Duration(worker) / time.Duration(concurrency))
			for time.Since(started) < length {
				one := ask(client, url, body)
				if time.Since(started)-one.whole >= spread || !one.ok {
					results[worker] = append(results[worker], one)
				}
			}
		})
	}
	workers.Wait()
	elapsed := (time.Since(started) - spread).Seconds()
	var whole, first []float64
	events, failed := 0, 0
	for _, one := range slices.Concat(results...) {
		if !one.ok {
			failed++
			continue
		}
		whole = append(whole, float64(one.whole.Microseconds())/1000)
		first = append(first, float64(one.first.Microseconds())/1000)
		events += one.events
	}
	slices.Sort(whole)
	slices.Sort(first)
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": len(whole), "failed": failed, "per_second": float64(len(whole)) / elapsed,
		"events_per_second": float64(events) / elapsed,
		"p50_ms":            at(whole, 0.5), "p99_ms": at(whole, 0.99), "first_p50_ms": at(first, 0.5),
		"first_p99_ms": at(first, 0.99),
	})
}

func at(sorted []float64, fraction float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(fraction*float64(len(sorted)-1))]
}
