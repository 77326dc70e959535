//go:build linux

package compat

import (
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
)

const megabyte = 1 << 20

// connectionScenarios are what a connection without toxics shows.
func connectionScenarios() []scenario {
	return []scenario{
		{name: "bytes both ways", run: func(r *rig) {
			l := r.front("p").connect()
			r.saw("up", r.carry(l.client, l.server, payload(4*megabyte)))
			r.saw("down", r.carry(l.server, l.client, payload(4*megabyte)))
			up := make(chan string)
			go func() { up <- r.carry(l.client, l.server, payload(megabyte)) }()
			r.saw("both at once, down", r.carry(l.server, l.client, payload(megabyte)))
			r.saw("both at once, up", <-up)
		}},
		{name: "the server closes", run: func(r *rig) {
			l := r.front("p").connect()
			r.send(l.client, "ask")
			r.saw("asked", r.receive(l.server, 3))
			r.send(l.server, "answer")
			r.shut(l.server)
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%s %s", data, end)
		}},
		{name: "the client closes", run: func(r *rig) {
			l := r.front("p").connect()
			r.send(l.client, "bye")
			r.shut(l.client)
			data, end := r.rest(l.server)
			r.sawf("the server sees", "%s %s", data, end)
		}},
		{name: "the client closes its side", differs: map[string]declared{
			"the client sees": {"a half-close is lost by the original", " FIN", "the answer FIN"},
		}, run: func(r *rig) {
			l := r.front("p").connect()
			r.send(l.client, "ask")
			if err := l.client.CloseWrite(); err != nil {
				r.Fatal(err)
			}
			data, end := r.rest(l.server)
			r.sawf("the server sees", "%s %s", data, end)
			_ = l.server.SetWriteDeadline(time.Now().Add(patience)) // the write tells
			_, _ = io.WriteString(l.server, "the answer")           // it may be cut off: that is the question
			_ = l.server.Close()
			data, end = r.rest(l.client)
			r.sawf("the client sees", "%s %s", data, end)
		}},
		{name: "the server closes its side", differs: map[string]declared{
			"the server gets": {"a half-close is lost by the original", "", "more"},
		}, run: func(r *rig) {
			l := r.front("p").connect()
			r.send(l.server, "greeting")
			if err := l.server.CloseWrite(); err != nil {
				r.Fatal(err)
			}
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%s %s", data, end)
			_, _ = io.WriteString(l.client, "more") // it may be cut off: that is the question
			_ = l.client.Close()
			data, _ = r.rest(l.server)
			r.sawf("the server gets", "%s", data)
		}},
		{name: "the client resets", differs: map[string]declared{
			"the server sees": {"a reset arrives as a reset", "hello FIN", "hello RST"},
		}, run: func(r *rig) {
			l := r.front("p").connect()
			r.send(l.client, "hello")
			got := r.receive(l.server, 5)
			r.reset(l.client)
			data, end := r.rest(l.server)
			r.sawf("the server sees", "%s%s %s", got, data, end)
		}},
		{name: "the server resets", differs: map[string]declared{
			"the client sees": {"a reset arrives as a reset", "hello FIN", "hello RST"},
		}, run: func(r *rig) {
			l := r.front("p").connect()
			r.send(l.server, "hello")
			got := r.receive(l.client, 5)
			r.reset(l.server)
			data, end := r.rest(l.client)
			r.sawf("the client sees", "%s%s %s", got, data, end)
		}},
		{name: "the upstream refuses", run: func(r *rig) {
			c := r.dial(r.proxy(r, "p", r.nowhere()))
			data, end := r.rest(c)
			r.sawf("the client sees", "%q %s", data, end)
		}},
		{name: "the upstream has no name", run: func(r *rig) {
			c := r.dial(r.proxy(r, "p", "no-such-host.invalid:80"))
			data, end := r.rest(c)
			r.sawf("the client sees", "%q %s", data, end)
		}},
		{name: "the upstream is no address", run: func(r *rig) {
			c := r.dial(r.proxy(r, "p", "nonsense"))
			data, end := r.rest(c)
			r.sawf("the client sees", "%q %s", data, end)
		}},
		{name: "the upstream is a name", run: func(r *rig) {
			up := r.listen()
			_, port, _ := net.SplitHostPort(up.Addr().String())
			f := &front{r: r, name: "p", addr: r.proxy(r, "p", "localhost:"+port), upstream: up}
			l := f.open()
			r.saw("bytes", r.carry(l.client, l.server, payload(1000)))
		}},
		{name: "IPv6", run: func(r *rig) {
			up, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv6loopback})
			if err != nil {
				r.saw("IPv6", "this machine has none")
				return
			}
			r.Cleanup(func() { _ = up.Close() })
			port := freePort(r)
			r.do(r, "POST", "/proxies", fmt.Sprintf(`{"name":"p","listen":"[::1]:%s","upstream":%q}`, port, up.Addr()))
			f := &front{r: r, name: "p", addr: "[::1]:" + port, upstream: up}
			l := f.open()
			r.saw("bytes", r.carry(l.client, l.server, payload(1000)))
		}},
		{name: "all interfaces are both families", run: func(r *rig) {
			port := freePort(r)
			r.do(r, "POST", "/proxies", fmt.Sprintf(`{"name":"p","listen":"0.0.0.0:%s","upstream":"127.0.0.1:1"}`, port))
			r.saw("IPv4", r.reached("127.0.0.1:"+port))
			r.saw("IPv6", r.reached("[::1]:"+port))
		}},
		{name: "many in turn and at once", run: func(r *rig) {
			f := r.front("p")
			var open []link
			for i := range 60 {
				l := f.open()
				msg := fmt.Sprintf("%03d", i)
				r.send(l.client, msg)
				if got := r.receive(l.server, 3); got != msg {
					r.Errorf("connection %d got %q", i, got)
				}
				open = append(open, l)
			}
			for i, l := range open {
				msg := fmt.Sprintf("%03d", i)
				r.send(l.server, msg)
				r.shut(l.server)
				if data, end := r.rest(l.client); data != msg || end != "FIN" {
					r.Errorf("connection %d got %q %s", i, data, end)
				}
			}
			r.sawf("connections", "%d", len(open))
		}},
		{name: "the server speaks first", run: func(r *rig) {
			f := r.front("p")
			c := r.dial(f.addr)
			s := f.accept()
			r.send(s, "220 ready")
			r.saw("greeting", r.receive(c, 9))
		}},
		{name: "small writes are not held back", run: func(r *rig) {
			l := r.front("p").connect()
			begin := time.Now()
			for range 100 {
				r.send(l.client, "?")
				r.receive(l.server, 1)
				r.send(l.server, "!")
				r.receive(l.client, 1)
			}
			r.saw("100 round trips", before(begin, 4*time.Second)) // 40 ms each, were Nagle at work
		}},
	}
}

// nowhere is an address that refuses, and keeps refusing: it is bound, and
// nobody listens.
func (r *rig) nowhere() string {
	r.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		r.Fatal(err)
	}
	sa, err := syscall.Getsockname(fd)
	if err != nil {
		r.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", sa.(*syscall.SockaddrInet4).Port)
}

// controlScenarios are what changes of proxies do to connections.
func controlScenarios() []scenario {
	ends := func(r *rig, l link) {
		data, end := r.rest(l.client)
		r.sawf("the client sees", "%q %s", data, end)
		data, end = r.rest(l.server)
		r.sawf("the server sees", "%q %s", data, end)
	}
	lives := func(r *rig, what string, l link) {
		r.send(l.client, "still")
		r.saw(what, r.receive(l.server, 5))
	}
	return []scenario{
		{name: "disable and enable", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.set(`{"enabled":false}`)
			ends(r, l)
			r.saw("new ones while disabled", r.reached(f.addr))
			f.set(`{"enabled":true}`)
			lives(r, "new ones", f.connect())
		}},
		{name: "delete", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			r.do(r, "DELETE", "/proxies/p", "")
			ends(r, l)
			r.saw("new ones", r.reached(f.addr))
		}},
		{name: "another upstream", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			other := r.listen()
			f.set(fmt.Sprintf(`{"upstream":%q}`, other.Addr()))
			ends(r, l)
			f.upstream = other
			lives(r, "the other one", f.connect())
		}},
		{name: "the same upstream", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.set(fmt.Sprintf(`{"upstream":%q,"listen":%q,"enabled":true}`, f.upstream.Addr(), f.addr))
			lives(r, "the connection", l)
			_, port, _ := net.SplitHostPort(f.addr)
			f.set(fmt.Sprintf(`{"listen":"localhost:%s"}`, port))
			lives(r, "with the address as a name", l)
		}},
		{name: "another address", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			port := freePort(r)
			f.set(fmt.Sprintf(`{"listen":"127.0.0.1:%s"}`, port))
			ends(r, l)
			r.saw("the old address", r.reached(f.addr))
			f.addr = "127.0.0.1:" + port
			lives(r, "the new one", f.connect())
		}},
		{name: "reset of everything", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			f.add("latency", `"attributes":{"latency":60000}`)
			off := r.front("off")
			off.set(`{"enabled":false}`)
			r.do(r, "POST", "/reset", "")
			r.saw("the disabled proxy", r.reached(off.addr))
			r.send(l.server, "now")
			r.saw("the connection", r.receive(l.client, 3))
		}},
		{name: "populate with the same", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			r.do(r, "POST", "/populate", fmt.Sprintf(`[{"name":"p","listen":%q,"upstream":%q}]`, f.addr, f.upstream.Addr()))
			lives(r, "the connection", l)
		}},
		{name: "populate with another upstream", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			other := r.listen()
			r.do(r, "POST", "/populate", fmt.Sprintf(`[{"name":"p","listen":%q,"upstream":%q}]`, f.addr, other.Addr()))
			ends(r, l)
			f.upstream = other
			lives(r, "the other one", f.connect())
		}},
		{name: "toxics outlive a pause", run: func(r *rig) {
			f := r.front("p")
			f.set(`{"enabled":false}`)
			f.add("latency", `"attributes":{"latency":200}`)
			f.set(`{"enabled":true}`)
			l := f.connect()
			begin := time.Now()
			r.send(l.server, "x")
			r.receive(l.client, 1)
			r.saw("with the toxic that was put on while disabled", took(begin, 200*time.Millisecond))
			f.set(`{"enabled":false}`)
			f.set(`{"enabled":true}`)
			l = f.connect()
			begin = time.Now()
			r.send(l.server, "x")
			r.receive(l.client, 1)
			r.saw("after another pause", took(begin, 200*time.Millisecond))
		}},
		{name: "delete in the middle of a download", run: func(r *rig) {
			f := r.front("p")
			l := f.open()
			sent := make(chan error, 1)
			go func() {
				_, err := io.Copy(l.server, strings.NewReader(payload(64*megabyte)))
				sent <- err
			}()
			r.receive(l.client, megabyte)
			r.do(r, "DELETE", "/proxies/p", "")
			r.rest(l.client) // how much was on its way is chance
			_ = l.server.SetWriteDeadline(time.Now().Add(patience))
			r.sawf("the sender is told", "%v", <-sent != nil)
		}},
	}
}
