//go:build linux

package compat

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"time"
)

// randomScenarios are chains of toxics that nobody thought of, with bytes both
// ways and an end from one side: what arrives at the other, and how it ends.
// COMPAT_RANDOM sets how many; each has its own seed and is the same every time.
func randomScenarios() (all []scenario) {
	n := 12
	if s, err := strconv.Atoi(os.Getenv("COMPAT_RANDOM")); err == nil {
		n = s
	}
	for seed := range n {
		all = append(all, scenario{name: fmt.Sprintf("random: %d", seed), run: func(r *rig) { randomChain(r, seed) }})
	}
	return all
}

func randomChain(r *rig, seed int) {
	rnd := rand.New(rand.NewPCG(uint64(seed), 7))
	f := r.front("p")
	chain := ""
	put := func(late bool) {
		for _, stream := range []string{"upstream", "downstream"} {
			for i := range rnd.IntN(3) {
				toxic := randomToxic(rnd, late)
				chain += fmt.Sprintf("\n%s, late: %v: %s", stream, late, toxic)
				r.do(r, "POST", "/proxies/p/toxics", fmt.Sprintf(`{"name":"%s%d%v","stream":%q,%s}`, stream, i, late, stream, toxic))
			}
		}
	}
	put(false)
	l := f.connect()
	up, down := payload(100+rnd.IntN(3000)), payload(100+rnd.IntN(3000))
	exchange := func() {
		// In between all that is on its way arrives, or waits for what does not come.
		r.write(l.client, up)
		time.Sleep(250 * ms)
		r.write(l.server, down)
		time.Sleep(250 * ms)
	}
	exchange()
	put(true)
	exchange()
	from, to, sent := l.client, l.server, up+up
	if rnd.IntN(2) == 0 {
		from, to, sent = l.server, l.client, down+down
	}
	chain += fmt.Sprintf("\nthe client closes: %v", from == l.client)
	r.restWithin(from, 50*ms) // what nobody has read would make the end a reset
	_ = from.Close()          // it may be closed already
	data, end := r.restWithin(to, 1500*ms)
	r.sawf("arrived", "%s; %s", same(data, sent), end)
	r.Logf("%s: %s %s%s", r.side, same(data, sent), end, chain)
}

// write sends where the other side may be gone.
func (r *rig) write(c *net.TCPConn, data string) {
	r.Helper()
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	_, _ = c.Write([]byte(data))
}

func randomToxic(rnd *rand.Rand, late bool) string {
	switch rnd.IntN(9) {
	case 0:
		return fmt.Sprintf(`"type":"latency","attributes":{"latency":%d,"jitter":%d}`, rnd.IntN(40), rnd.IntN(10))
	case 1:
		return fmt.Sprintf(`"type":"bandwidth","attributes":{"rate":%d}`, 50+rnd.IntN(1000))
	case 2:
		return fmt.Sprintf(`"type":"slow_close","attributes":{"delay":%d}`, rnd.IntN(60))
	case 3:
		return fmt.Sprintf(`"type":"timeout","attributes":{"timeout":%d}`, rnd.IntN(2)*60)
	case 4:
		if late { // for a connection that is open already it is another thing: see resetScenarios
			break
		}
		return fmt.Sprintf(`"type":"reset_peer","attributes":{"timeout":%d}`, rnd.IntN(2)*40)
	case 5:
		return fmt.Sprintf(`"type":"slicer","attributes":{"average_size":%d,"size_variation":5,"delay":%d}`, 50+rnd.IntN(500), rnd.IntN(500))
	case 6, 7:
		return fmt.Sprintf(`"type":"limit_data","attributes":{"bytes":%d}`, rnd.IntN(4000))
	}
	return `"type":"noop"`
}
