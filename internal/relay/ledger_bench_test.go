package relay

import (
	"testing"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// BenchmarkRecord is what listening costs for an exchange on the fast path.
func BenchmarkRecord(b *testing.B) {
	for name, head := range map[string]string{
		"plain":  "GET /orders/17?full=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n",
		"traced": "GET /orders/17?full=1 HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n",
		"body":   "POST /orders HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Length: 300\r\n\r\n",
	} {
		b.Run(name, func(b *testing.B) {
			told := 0
			edge := &Edge{ear: &ear{}, name: "a -> b"}
			listen := func(*experiment.Exchange) { told++ }
			edge.ear.of.Store(&listen)
			c := &h1Conn{edge: edge, loop: &loop{}}
			body := make([]byte, 300)
			b.ReportAllocs()
			n := byte(0)
			text := []byte(head)
			for b.Loop() {
				n++
				if name == "traced" {
					text[70+n%8] = '0' + n%10
				}
				c.x.req.readRequest(text)
				c.x.start = time.Now()
				c.keepHead(text)
				if c.x.up.left > 0 {
					c.x.up.pass(body)
					c.bodyRead()
				}
				c.x.whole, c.x.status = true, 200
				c.edge.ear.tell(c.record("callee", nil))
				c.x = h1Exchange{head: c.x.head[:0]}
			}
			if told == 0 {
				b.Fatal("nothing was told")
			}
		})
		b.Run(name+" unheard", func(b *testing.B) {
			c := &h1Conn{edge: &Edge{ear: &ear{}}, loop: &loop{}}
			body := make([]byte, 300)
			b.ReportAllocs()
			text := []byte(head)
			for b.Loop() {
				c.x.req.readRequest(text)
				c.x.start = time.Now()
				c.keepHead(text)
				if c.x.up.left > 0 {
					c.x.up.pass(body)
					c.bodyRead()
				}
				c.x = h1Exchange{head: c.x.head[:0]}
			}
		})
	}
}
