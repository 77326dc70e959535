//go:build linux

package compat

import (
	"fmt"
	"net"
	"strings"
	"time"
)

const ms = time.Millisecond

// passes sends a message and tells how long it took to arrive.
func (r *rig) passes(name string, from, to *net.TCPConn, want time.Duration) {
	r.Helper()
	begin := time.Now()
	r.send(from, "message")
	if got := r.receive(to, 7); got != "message" {
		r.sawf(name, "%q", got)
		return
	}
	r.sawf(name, "%s", took(begin, want))
}

// passesAtOnce is the same where nothing may take long, that could.
func (r *rig) passesAtOnce(name string, from, to *net.TCPConn, could time.Duration) {
	r.Helper()
	begin := time.Now()
	r.send(from, "message")
	if got := r.receive(to, 7); got != "message" {
		r.sawf(name, "%q", got)
		return
	}
	r.sawf(name, "%s", before(begin, could))
}

// ends tells how a connection ends, with what came before it and how long that
// took.
func (r *rig) ends(name string, c *net.TCPConn, begin time.Time, want time.Duration) {
	r.Helper()
	data, end := r.rest(c)
	r.sawf(name, "%q %s, %s", data, end, took(begin, want))
}

func (r *rig) endsBefore(name string, c *net.TCPConn, begin time.Time, could time.Duration) {
	r.Helper()
	data, end := r.rest(c)
	r.sawf(name, "%q %s, %s", data, end, before(begin, could))
}

func latencyScenarios() []scenario {
	long := `"attributes":{"latency":6000}`
	const longTime = 6 * time.Second
	// waiting puts a long delay on a connection and a message into it.
	waiting := func(r *rig) (*front, link, time.Time) {
		f := r.front("p")
		l := f.open()
		f.add("latency", long)
		begin := time.Now()
		r.send(l.server, "message")
		r.saw("while it waits", r.quiet(l.client, 100*ms))
		return f, l, begin
	}
	arrives := func(r *rig, l link, begin time.Time) {
		r.saw("message", r.receive(l.client, 7))
		r.saw("when", before(begin, longTime))
	}
	return []scenario{
		{name: "latency: answers", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"attributes":{"latency":900}`)
			l := f.connect()
			r.passesAtOnce("up", l.client, l.server, 900*ms)
			r.passes("down", l.server, l.client, 900*ms)
		}},
		{name: "latency: requests", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"stream":"upstream","attributes":{"latency":900}`)
			l := f.connect()
			r.passes("up", l.client, l.server, 900*ms)
			r.passesAtOnce("down", l.server, l.client, 900*ms)
		}},
		{name: "latency: on a live connection, changed, gone", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			r.passesAtOnce("before", l.server, l.client, time.Second)
			f.add("latency", `"attributes":{"latency":1000}`)
			r.passes("with it", l.server, l.client, 1000*ms)
			f.update("latency", `"attributes":{"latency":300}`)
			r.passes("changed", l.server, l.client, 300*ms)
			f.remove("latency")
			r.passesAtOnce("gone", l.server, l.client, time.Second)
		}},
		{name: "latency: does not limit throughput", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"attributes":{"latency":250}`)
			l := f.connect()
			begin := time.Now()
			for i := range 20 {
				r.send(l.server, fmt.Sprintf("%02d", i))
				time.Sleep(5 * ms) // so that they are 20 messages
			}
			got := r.receive(l.client, 40)
			r.saw("order", got)
			r.sawf("in all", "%s, %s", took(begin, 250*ms), before(begin, 20*250*ms))
			begin = time.Now()
			r.saw("8 MB", r.carry(l.server, l.client, payload(8*megabyte)))
			r.saw("8 MB in", took(begin, 250*ms))
		}},
		{name: "latency: connecting is not delayed", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", long)
			begin := time.Now()
			f.connect()
			r.saw("connected", before(begin, longTime))
		}},
		{name: "latency: an end alone is not delayed", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", long)
			l := f.connect()
			begin := time.Now()
			r.shut(l.server)
			r.endsBefore("the client sees", l.client, begin, longTime)
		}},
		{name: "latency: an end waits behind data", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"attributes":{"latency":300}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "last words")
			r.shut(l.server)
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "latency: what waits is let go by a change", run: func(r *rig) {
			f, l, begin := waiting(r)
			f.update("latency", `"attributes":{"latency":5999}`)
			arrives(r, l, begin)
		}},
		{name: "latency: what waits is let go by the removal", run: func(r *rig) {
			f, l, begin := waiting(r)
			f.remove("latency")
			arrives(r, l, begin)
		}},
		{name: "latency: what waits, and a toxic that is added behind it", differs: map[string]declared{
			"when": {"a delay is not cut short by a toxic that is none of its business", "before its time", "only after 1.5s"},
		}, run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("latency", `"attributes":{"latency":1500}`)
			begin := time.Now()
			r.send(l.server, "message")
			r.saw("while it waits", r.quiet(l.client, 50*ms))
			f.add("noop", "")
			r.saw("message", r.receive(l.client, 7))
			r.saw("when", before(begin, 1500*ms))
		}},
		{name: "latency: what waits stays when a toxic of the other direction changes", run: func(r *rig) {
			f, l, _ := waiting(r)
			f.add("noop", `"stream":"upstream"`)
			f.remove("noop")
			r.saw("still", r.quiet(l.client, 200*ms))
		}},
		{name: "latency: toxicity that changes is drawn again for live connections", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("latency", `"toxicity":0,"attributes":{"latency":1000}`)
			r.passesAtOnce("toxicity 0", l.server, l.client, time.Second)
			f.update("latency", `"toxicity":1`)
			r.passes("toxicity 1", l.server, l.client, time.Second)
			f.update("latency", `"toxicity":0`)
			r.passesAtOnce("toxicity 0 again", l.server, l.client, time.Second)
			f.update("latency", `"toxicity":1`)
			r.passes("toxicity 1 again", l.server, l.client, time.Second)
		}},
		{name: "latency: what waits is let go by a reset", run: func(r *rig) {
			_, l, begin := waiting(r)
			r.do(r, "POST", "/reset", "")
			arrives(r, l, begin)
		}},
		{name: "latency: jitter stays within its bounds and keeps the order", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"attributes":{"latency":200,"jitter":100}`)
			l := f.connect()
			for i := range 3 {
				r.passes(fmt.Sprintf("message %d", i), l.server, l.client, 100*ms)
			}
			r.saw("many", r.carry(l.server, l.client, payload(2*megabyte)))
		}},
		{name: "latency: toxicity 0", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"toxicity":0,`+long)
			l := f.connect()
			r.passesAtOnce("down", l.server, l.client, longTime)
		}},
		{name: "latency: toxicity 0.5 is some connections", run: func(r *rig) {
			f := r.front("p")
			f.add("latency", `"toxicity":0.5,`+long)
			hit, missed := 0, 0
			var links []link
			for range 40 {
				l := f.connect()
				r.send(l.server, "x")
				links = append(links, l)
			}
			time.Sleep(300 * ms) // what is not delayed comes meanwhile
			for _, l := range links {
				if r.quiet(l.client, 20*ms) == "nothing" {
					hit++
				} else {
					missed++
				}
			}
			r.sawf("of 40", "some are: %v, some are not: %v", hit >= 5, missed >= 5)
		}},
		{name: "latency: nothing is lost while it comes and goes", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			done := make(chan string)
			go func() { done <- r.carry(l.server, l.client, payload(24*megabyte)) }()
			for range 6 {
				f.add("latency", `"attributes":{"latency":20,"jitter":5}`)
				f.update("latency", `"attributes":{"latency":10}`)
				f.remove("latency")
			}
			r.saw("bytes", <-done)
		}},
	}
}

func bandwidthScenarios() []scenario {
	// KB are 1000 bytes.
	const kb = 1000
	return []scenario{
		{name: "bandwidth: a rate", run: func(r *rig) {
			f := r.front("p")
			f.add("bandwidth", `"attributes":{"rate":200}`)
			l := f.connect()
			begin := time.Now()
			r.saw("100 KB", r.carry(l.server, l.client, payload(100*kb)))
			r.saw("100 KB in", took(begin, 450*ms))
			begin = time.Now()
			r.saw("up", r.carry(l.client, l.server, payload(1000*kb)))
			r.saw("up in", before(begin, 5*time.Second))
		}},
		{name: "bandwidth: requests", run: func(r *rig) {
			f := r.front("p")
			f.add("bandwidth", `"stream":"upstream","attributes":{"rate":200}`)
			l := f.connect()
			begin := time.Now()
			r.saw("100 KB", r.carry(l.client, l.server, payload(100*kb)))
			r.saw("100 KB in", took(begin, 450*ms))
		}},
		{name: "bandwidth: each connection has its own", run: func(r *rig) {
			f := r.front("p")
			f.add("bandwidth", `"attributes":{"rate":100}`)
			begin := time.Now()
			done := make(chan string)
			for range 8 {
				l := f.connect()
				go func() { done <- r.carry(l.server, l.client, payload(50*kb)) }()
			}
			for i := range 8 {
				r.saw(fmt.Sprintf("connection %d", i), <-done)
			}
			r.sawf("8 times 50 KB at 100 KB/s", "%s, %s", took(begin, 400*ms), before(begin, 4*time.Second))
		}},
		{name: "bandwidth: small messages", run: func(r *rig) {
			f := r.front("p")
			f.add("bandwidth", `"attributes":{"rate":5}`)
			l := f.connect()
			begin := time.Now()
			for range 3 {
				r.send(l.server, payload(500))
				r.saw("message", same(r.receive(l.client, 500), payload(500)))
			}
			r.saw("3 times 500 bytes at 5 KB/s", took(begin, 250*ms))
		}},
		{name: "bandwidth: rate 0 holds, and gives back", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("bandwidth", `"attributes":{"rate":0}`)
			data := payload(100 * kb)
			done := make(chan string)
			go func() {
				r.send(l.server, data)
				done <- "written"
			}()
			r.saw("while it holds", r.quiet(l.client, 200*ms))
			f.remove("bandwidth")
			r.saw("after", same(r.receive(l.client, len(data)), data))
			<-done
			r.passesAtOnce("and then", l.server, l.client, time.Second)
		}},
		{name: "bandwidth: rate 0 holds an end too", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("bandwidth", `"attributes":{"rate":0}`)
			r.send(l.server, "last words")
			r.shut(l.server)
			r.saw("while it holds", r.quiet(l.client, 150*ms))
			f.remove("bandwidth")
			data, end := r.rest(l.client)
			r.sawf("after", "%s %s", data, end)
		}},
		{name: "bandwidth: two of rate 0 cut a connection, as testcontainers does", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.r.do(r, "POST", "/proxies/p/toxics", `{"name":"CUT_CONNECTION_DOWNSTREAM","type":"bandwidth","stream":"downstream","toxicity":1,"attributes":{"rate":0}}`)
			f.r.do(r, "POST", "/proxies/p/toxics", `{"name":"CUT_CONNECTION_UPSTREAM","type":"bandwidth","stream":"upstream","toxicity":1,"attributes":{"rate":0}}`)
			r.send(l.client, "ask")
			r.saw("up", r.quiet(l.server, 150*ms))
			r.send(l.server, "answer")
			r.saw("down", r.quiet(l.client, 150*ms))
			f.r.do(r, "DELETE", "/proxies/p/toxics/CUT_CONNECTION_DOWNSTREAM", "")
			f.r.do(r, "DELETE", "/proxies/p/toxics/CUT_CONNECTION_UPSTREAM", "")
			r.saw("up, after", r.receive(l.server, 3))
			r.saw("down, after", r.receive(l.client, 6))
		}},
		{name: "bandwidth: from 0 to a rate", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("bandwidth", `"attributes":{"rate":0}`)
			r.send(l.server, payload(20*kb))
			r.saw("while it holds", r.quiet(l.client, 150*ms))
			f.update("bandwidth", `"attributes":{"rate":1000}`)
			r.saw("after", same(r.receive(l.client, 20*kb), payload(20*kb)))
		}},
		{name: "bandwidth: a rate is changed in the middle", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("bandwidth", `"attributes":{"rate":10}`)
			begin := time.Now()
			done := make(chan string)
			go func() { done <- r.carry(l.server, l.client, payload(100*kb)) }()
			// Between two of its steps of 100 ms: a change in the same moment as a
			// step is a race in the original, of which it dies.
			time.Sleep(150 * ms)
			f.update("bandwidth", `"attributes":{"rate":10000}`)
			r.saw("bytes", <-done)
			r.saw("in", before(begin, 10*time.Second))
		}},
	}
}

func closingScenarios() []scenario {
	return []scenario{
		{name: "slow_close: the end is late, the data is not", run: func(r *rig) {
			f := r.front("p")
			f.add("slow_close", `"attributes":{"delay":1000}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "data")
			r.shut(l.server)
			r.saw("data", r.receive(l.client, 4))
			r.saw("data came", before(begin, time.Second))
			r.ends("the client sees", l.client, begin, time.Second)
		}},
		{name: "slow_close: of requests", run: func(r *rig) {
			f := r.front("p")
			f.add("slow_close", `"stream":"upstream","attributes":{"delay":400}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.client, "data")
			r.shut(l.client)
			r.ends("the server sees", l.server, begin, 400*ms)
		}},
		{name: "slow_close: the other direction is not delayed", run: func(r *rig) {
			f := r.front("p")
			f.add("slow_close", `"stream":"upstream","attributes":{"delay":6000}`)
			l := f.connect()
			begin := time.Now()
			r.shut(l.server)
			r.endsBefore("the client sees", l.client, begin, 6*time.Second)
		}},
		{name: "slow_close: the removal closes now", run: func(r *rig) {
			f := r.front("p")
			f.add("slow_close", `"attributes":{"delay":6000}`)
			l := f.connect()
			begin := time.Now()
			r.shut(l.server)
			r.saw("meanwhile", r.quiet(l.client, 150*ms))
			f.remove("slow_close")
			r.endsBefore("the client sees", l.client, begin, 6*time.Second)
		}},
		{name: "slow_close: a change begins the wait again", run: func(r *rig) {
			f := r.front("p")
			f.add("slow_close", `"attributes":{"delay":6000}`)
			l := f.connect()
			r.shut(l.server)
			r.saw("meanwhile", r.quiet(l.client, 150*ms))
			begin := time.Now()
			f.update("slow_close", `"attributes":{"delay":300}`)
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "slow_close: on a live connection", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("slow_close", `"attributes":{"delay":300}`)
			begin := time.Now()
			r.shut(l.server)
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "slow_close: toxicity 0", run: func(r *rig) {
			f := r.front("p")
			f.add("slow_close", `"toxicity":0,"attributes":{"delay":6000}`)
			l := f.connect()
			begin := time.Now()
			r.shut(l.server)
			r.endsBefore("the client sees", l.client, begin, 6*time.Second)
		}},
	}
}

func timeoutScenarios() []scenario {
	return []scenario{
		{name: "timeout: drops and closes", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"attributes":{"timeout":300}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "lost")
			r.ends("the client sees", l.client, begin, 300*ms)
			r.ends("the server sees", l.server, begin, 300*ms)
		}},
		{name: "timeout: of requests", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"stream":"upstream","attributes":{"timeout":1000}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.client, "lost")
			r.passesAtOnce("the other direction", l.server, l.client, time.Second)
			r.ends("the server sees", l.server, begin, time.Second)
			r.ends("the client sees", l.client, begin, time.Second)
		}},
		{name: "timeout: an idle connection, from its opening", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"attributes":{"timeout":300}`)
			begin := time.Now()
			l := f.connect()
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "timeout: an idle live connection, from the toxic on", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			begin := time.Now()
			f.add("timeout", `"attributes":{"timeout":300}`)
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "timeout: each piece begins the wait again", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"attributes":{"timeout":500}`)
			l := f.connect()
			for range 8 {
				r.send(l.server, "lost")
				time.Sleep(100 * ms)
			}
			begin := time.Now()
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "timeout: 0 never closes", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"attributes":{"timeout":0}`)
			l := f.connect()
			r.send(l.server, "lost")
			r.saw("the client sees", r.quiet(l.client, 300*ms))
			r.passesAtOnce("the other direction", l.client, l.server, 2*time.Second)
			f.update("timeout", `"attributes":{"timeout":0}`)
			r.saw("after a change that is none", r.quiet(l.client, 100*ms))
			begin := time.Now()
			f.update("timeout", `"attributes":{"timeout":200}`)
			r.ends("after a change to 200 ms", l.client, begin, 200*ms)
		}},
		{name: "timeout: the removal closes", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"attributes":{"timeout":0}`)
			l := f.connect()
			r.send(l.server, "lost")
			r.saw("meanwhile", r.quiet(l.client, 100*ms))
			begin := time.Now()
			f.remove("timeout")
			r.ends("the client sees", l.client, begin, 0)
			r.ends("the server sees", l.server, begin, 0)
			l = f.connect()
			r.passesAtOnce("new ones", l.server, l.client, 2*time.Second)
		}},
		{name: "timeout: the removal closes, of requests too", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("timeout", `"stream":"upstream","attributes":{"timeout":60000}`)
			r.send(l.client, "lost")
			r.saw("meanwhile", r.quiet(l.server, 100*ms))
			begin := time.Now()
			f.remove("timeout")
			r.ends("the server sees", l.server, begin, 0)
			r.ends("the client sees", l.client, begin, 0)
		}},
		{name: "timeout: a reset of everything closes", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("timeout", `"attributes":{"timeout":0}`)
			begin := time.Now()
			r.do(r, "POST", "/reset", "")
			r.ends("the client sees", l.client, begin, 0)
		}},
		{name: "timeout: an end passes", run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"attributes":{"timeout":6000}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "lost")
			r.shut(l.server)
			r.endsBefore("the client sees", l.client, begin, 6*time.Second)
		}},
		{name: "timeout: toxicity 0", differs: map[string]declared{
			"after the removal": {"a connection that the toxic was not drawn for is closed by its removal", `"" FIN`, "nothing"},
		}, run: func(r *rig) {
			f := r.front("p")
			f.add("timeout", `"toxicity":0,"attributes":{"timeout":100}`)
			l := f.connect()
			r.passesAtOnce("data", l.server, l.client, 2*time.Second)
			r.saw("meanwhile", r.quiet(l.client, 300*ms))
			f.remove("timeout")
			r.saw("after the removal", r.quiet(l.client, 500*ms))
		}},
	}
}

func resetScenarios() []scenario {
	return []scenario{
		{name: "reset_peer: at the first data", run: func(r *rig) {
			f := r.front("p")
			f.add("reset_peer", `"attributes":{"timeout":0}`)
			l := f.connect()
			r.send(l.server, "lost")
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%q %s", data, end)
			data, end = r.rest(l.server)
			r.sawf("the server sees", "%q %s", data, end)
		}},
		{name: "reset_peer: of requests", run: func(r *rig) {
			f := r.front("p")
			f.add("reset_peer", `"stream":"upstream","attributes":{"timeout":0}`)
			l := f.connect()
			r.send(l.client, "lost")
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%q %s", data, end)
			data, end = r.rest(l.server)
			r.sawf("the server sees", "%q %s", data, end)
		}},
		{name: "reset_peer: some time after the first data", run: func(r *rig) {
			f := r.front("p")
			f.add("reset_peer", `"attributes":{"timeout":300}`)
			l := f.connect()
			r.passesAtOnce("up", l.client, l.server, 2*time.Second)
			begin := time.Now()
			r.send(l.server, "lost")
			r.ends("the client sees", l.client, begin, 300*ms)
			r.ends("the server sees", l.server, begin, 300*ms)
		}},
		{name: "reset_peer: idle connections live", run: func(r *rig) {
			f := r.front("p")
			f.add("reset_peer", `"attributes":{"timeout":0}`)
			l := f.connect()
			r.saw("the client sees", r.quiet(l.client, 300*ms))
			f.remove("reset_peer")
			r.passesAtOnce("after the removal", l.server, l.client, 2*time.Second)
		}},
		{name: "reset_peer: an end resets too", run: func(r *rig) {
			f := r.front("p")
			f.add("reset_peer", `"attributes":{"timeout":0}`)
			l := f.connect()
			r.shut(l.server)
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%q %s", data, end)
		}},
		{name: "reset_peer: a connection that was open before", differs: map[string]declared{
			"the client sees": {"the original resets only what is opened later, older ones get a plain close", `"" FIN`, `"" RST`},
		}, run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("reset_peer", `"attributes":{"timeout":0}`)
			r.send(l.server, "lost")
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%q %s", data, end)
		}},
		{name: "reset_peer: toxicity 0", differs: map[string]declared{
			"the client sees": {"the original turns each close of a connection into a reset, even where the toxic was not drawn", "data RST", "data FIN"},
		}, run: func(r *rig) {
			f := r.front("p")
			f.add("reset_peer", `"toxicity":0,"attributes":{"timeout":0}`)
			l := f.connect()
			r.send(l.server, "data")
			got := r.receive(l.client, 4)
			r.shut(l.server)
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%s%s %s", got, data, end)
		}},
	}
}

func slicerScenarios() []scenario {
	return []scenario{
		{name: "slicer: pieces with a pause behind each", run: func(r *rig) {
			f := r.front("p")
			// 60 bytes are halved until they fit into 10: 8 pieces of 7 or 8.
			f.add("slicer", `"attributes":{"average_size":10,"size_variation":0,"delay":50000}`)
			l := f.connect()
			data := payload(60)
			begin := time.Now()
			r.send(l.server, data)
			first := make([]byte, len(data))
			if err := l.client.SetReadDeadline(time.Now().Add(patience)); err != nil {
				r.Fatal(err)
			}
			n, err := l.client.Read(first)
			if err != nil {
				r.Fatal(err)
			}
			r.sawf("the first piece", "is not all: %v", n < len(data))
			r.saw("bytes", same(string(first[:n])+r.receive(l.client, len(data)-n), data))
			// At least 6 pieces, and a pause between any two.
			r.saw("in all", took(begin, 250*ms))
		}},
		{name: "slicer: without a pause", run: func(r *rig) {
			f := r.front("p")
			f.add("slicer", `"attributes":{"average_size":500,"size_variation":100,"delay":0}`)
			l := f.connect()
			r.saw("bytes", r.carry(l.server, l.client, payload(2*megabyte)))
			r.saw("up", r.carry(l.client, l.server, payload(megabyte)))
		}},
		{name: "slicer: pauses add up", run: func(r *rig) {
			f := r.front("p")
			f.add("slicer", `"stream":"upstream","attributes":{"average_size":1000,"size_variation":100,"delay":10000}`)
			l := f.connect()
			begin := time.Now()
			r.saw("bytes", r.carry(l.client, l.server, payload(30000)))
			// Pieces of at most 1100 bytes: at least 27.
			r.saw("30 KB in pieces of 1 KB, 10 ms each", took(begin, 260*ms))
		}},
		{name: "slicer: small messages pass whole", run: func(r *rig) {
			f := r.front("p")
			f.add("slicer", `"attributes":{"average_size":100,"size_variation":0,"delay":0}`)
			l := f.connect()
			r.passesAtOnce("7 bytes", l.server, l.client, 2*time.Second)
			r.send(l.server, "last")
			r.shut(l.server)
			data, end := r.rest(l.client)
			r.sawf("the end", "%s %s", data, end)
		}},
		{name: "slicer: gone in the middle", run: func(r *rig) {
			f := r.front("p")
			f.add("slicer", `"attributes":{"average_size":10,"size_variation":0,"delay":20000}`)
			l := f.connect()
			data := payload(20000)
			begin := time.Now()
			done := make(chan string)
			go func() { done <- r.carry(l.server, l.client, data) }()
			time.Sleep(150 * ms)
			f.remove("slicer")
			r.saw("bytes", <-done)
			r.saw("in", before(begin, 20*time.Second))
		}},
	}
}

func limitScenarios() []scenario {
	// cut reads to the end.
	cut := func(r *rig, name string, l link, sent string) {
		data, end := r.rest(l.client)
		r.sawf(name, "%s, %s", same(data, sent), end)
	}
	return []scenario{
		{name: "limit_data: exactly that many bytes", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":100}`)
			for i := range 2 { // each connection has its own count
				l := f.connect()
				r.send(l.server, payload(1000))
				cut(r, fmt.Sprintf("connection %d", i), l, payload(1000))
				_, end := r.rest(l.server)
				r.sawf("the server's end is closed", "%v", end != "open")
			}
		}},
		{name: "limit_data: a limit that is just met", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":100}`)
			l := f.connect()
			r.send(l.server, payload(100))
			cut(r, "the client sees", l, payload(100))
		}},
		{name: "limit_data: below the limit", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":100}`)
			l := f.connect()
			r.send(l.server, payload(99))
			r.saw("bytes", same(r.receive(l.client, 99), payload(99)))
			r.saw("then", r.quiet(l.client, 150*ms))
			r.shut(l.server)
			cut(r, "the end", l, "")
		}},
		{name: "limit_data: big ones", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":1000000}`)
			l := f.connect()
			data := payload(4 * megabyte)
			done := make(chan struct{})
			go func() {
				defer close(done)
				_ = l.server.SetWriteDeadline(time.Now().Add(patience))
				_, _ = l.server.Write([]byte(data)) // it is cut off: that is the point
			}()
			got := r.receive(l.client, 1000000)
			r.saw("bytes", same(got, data[:1000000]))
			rest, _ := r.rest(l.client)
			r.sawf("more", "%d", len(rest))
			<-done
		}},
		{name: "limit_data: 0 closes at the first byte, not before", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":0}`)
			l := f.connect()
			r.saw("idle", r.quiet(l.client, 150*ms))
			r.send(l.server, "x")
			cut(r, "the client sees", l, "x")
		}},
		{name: "limit_data: of requests", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"stream":"upstream","attributes":{"bytes":10}`)
			l := f.connect()
			r.passesAtOnce("down is not limited", l.server, l.client, 2*time.Second)
			r.passesAtOnce("7 bytes up", l.client, l.server, 2*time.Second)
			r.send(l.client, "0123456789")
			data, end := r.rest(l.server)
			r.sawf("the server sees", "%q %s", data, end)
		}},
		{name: "limit_data: the count outlives a change", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":100}`)
			l := f.connect()
			data := payload(1000)
			r.send(l.server, data[:60])
			r.saw("60 bytes", same(r.receive(l.client, 60), data[:60]))
			f.update("limit_data", `"attributes":{"bytes":150}`)
			r.send(l.server, data[60:])
			cut(r, "90 more", l, data[60:])
		}},
		{name: "limit_data: a change below the count", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":100}`)
			l := f.connect()
			r.send(l.server, payload(60))
			r.receive(l.client, 60)
			f.update("limit_data", `"attributes":{"bytes":50}`)
			r.saw("before more comes", r.quiet(l.client, 150*ms))
			r.send(l.server, "x")
			cut(r, "the client sees", l, "x")
		}},
		{name: "limit_data: on a live connection it counts from there", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			r.send(l.server, payload(500))
			r.receive(l.client, 500)
			f.add("limit_data", `"attributes":{"bytes":100}`)
			r.send(l.server, payload(1000))
			cut(r, "100 more", l, payload(1000))
		}},
		{name: "limit_data: gone before the limit", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"attributes":{"bytes":100}`)
			l := f.connect()
			r.send(l.server, payload(60))
			r.receive(l.client, 60)
			f.remove("limit_data")
			r.saw("all of it", r.carry(l.server, l.client, payload(5000)))
		}},
		{name: "limit_data: toxicity 0", run: func(r *rig) {
			f := r.front("p")
			f.add("limit_data", `"toxicity":0,"attributes":{"bytes":10}`)
			l := f.connect()
			r.saw("all of it", r.carry(l.server, l.client, payload(5000)))
		}},
	}
}

func chainScenarios() []scenario {
	more := func(r *rig, body string) { r.do(r, "POST", "/proxies/p/toxics", body) }
	return []scenario{
		{name: "chain: noop", run: func(r *rig) {
			f := r.front("p")
			f.add("noop", "")
			l := f.connect()
			r.saw("down", r.carry(l.server, l.client, payload(megabyte)))
			r.saw("up", r.carry(l.client, l.server, payload(megabyte)))
		}},
		{name: "chain: delays add up", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"name":"a","type":"latency","attributes":{"latency":200}}`)
			more(r, `{"name":"b","type":"latency","attributes":{"latency":250}}`)
			l := f.connect()
			r.passes("two of one direction", l.server, l.client, 450*ms)
			more(r, `{"name":"c","type":"latency","stream":"upstream","attributes":{"latency":150}}`)
			begin := time.Now()
			r.send(l.client, "ask")
			r.receive(l.server, 3)
			r.send(l.server, "answer")
			r.receive(l.client, 6)
			r.saw("there and back", took(begin, 600*ms))
		}},
		{name: "chain: a limit behind a delay", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"name":"a","type":"latency","attributes":{"latency":250}}`)
			more(r, `{"name":"b","type":"limit_data","attributes":{"bytes":10}}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "0123456789abc")
			r.ends("the client sees", l.client, begin, 250*ms)
		}},
		{name: "chain: a delay behind a limit", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"name":"b","type":"limit_data","attributes":{"bytes":10}}`)
			more(r, `{"name":"a","type":"latency","attributes":{"latency":250}}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "0123456789abc")
			r.ends("the client sees", l.client, begin, 250*ms)
		}},
		{name: "chain: everything that passes data, both ways", run: func(r *rig) {
			f := r.front("p")
			for _, stream := range []string{"upstream", "downstream"} {
				for _, t := range []string{
					`"type":"latency","attributes":{"latency":20,"jitter":5}`, `"type":"slicer","attributes":{"average_size":4000,"size_variation":100,"delay":10}`,
					`"type":"bandwidth","attributes":{"rate":4000}`, `"type":"slow_close","attributes":{"delay":50}`, `"type":"limit_data","attributes":{"bytes":100000000}`, `"type":"noop"`,
				} {
					more(r, fmt.Sprintf(`{"stream":%q,%s}`, stream, t))
				}
			}
			l := f.connect()
			r.saw("down", r.carry(l.server, l.client, payload(megabyte/2)))
			r.saw("up", r.carry(l.client, l.server, payload(megabyte/2)))
			r.shut(l.server)
			data, end := r.rest(l.client)
			r.sawf("the end", "%q %s", data, end)
		}},
		{name: "chain: a limit of requests, and an answer that waits", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"type":"latency","attributes":{"latency":300}}`)
			more(r, `{"type":"limit_data","stream":"upstream","attributes":{"bytes":10}}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "answer")
			time.Sleep(50 * ms)
			r.send(l.client, strings.Repeat("x", 20))
			data, _ := r.rest(l.server)
			r.saw("the server sees", data)
			r.ends("the client sees", l.client, begin, 300*ms)
		}},
		{name: "chain: a limit of answers, and a request that waits", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"type":"latency","stream":"upstream","attributes":{"latency":300}}`)
			more(r, `{"type":"limit_data","attributes":{"bytes":10}}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.client, "request")
			time.Sleep(50 * ms)
			r.send(l.server, strings.Repeat("x", 20))
			data, _ := r.rest(l.client)
			r.saw("the client sees", data)
			r.ends("the server sees", l.server, begin, 300*ms)
		}},
		{name: "chain: a slow end behind a timeout", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"type":"timeout","attributes":{"timeout":200}}`)
			more(r, `{"type":"slow_close","attributes":{"delay":200}}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "lost")
			r.ends("the client sees", l.client, begin, 400*ms)
		}},
		{name: "chain: the place of a toxic outlives its changes", run: func(r *rig) {
			f := r.front("p")
			// A limit before a hold lets 10 bytes in; behind it, it would have
			// closed the connection.
			more(r, `{"name":"limit","type":"limit_data","toxicity":0,"attributes":{"bytes":10}}`)
			more(r, `{"name":"hold","type":"bandwidth","attributes":{"rate":0}}`)
			r.do(r, "POST", "/proxies/"+f.name+"/toxics/limit", `{"toxicity":1}`)
			l := f.connect()
			r.send(l.server, "0123456789abc")
			_, end := r.restWithin(l.server, 500*ms)
			r.saw("the server's side", end)
			r.do(r, "DELETE", "/proxies/"+f.name+"/toxics/hold", "")
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%q %s", data, end)
		}},
		{name: "chain: the middle one is taken out", run: func(r *rig) {
			f := r.front("p")
			more(r, `{"name":"a","type":"latency","attributes":{"latency":100}}`)
			more(r, `{"name":"hold","type":"bandwidth","attributes":{"rate":0}}`)
			more(r, `{"name":"c","type":"limit_data","attributes":{"bytes":15}}`)
			l := f.connect()
			r.send(l.server, "0123456789")
			r.saw("held", r.quiet(l.client, 250*ms))
			r.do(r, "DELETE", "/proxies/"+f.name+"/toxics/hold", "")
			r.saw("let go", r.receive(l.client, 10))
			r.send(l.server, strings.Repeat("x", 10))
			data, end := r.rest(l.client)
			r.sawf("the limit counts on", "%s %s", data, end)
		}},
	}
}
