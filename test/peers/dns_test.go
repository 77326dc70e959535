package peers

import (
	"net"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// answers starts a DNS server that has one address for every name.
func answers(t *testing.T) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() {
		b := make([]byte, 1<<16)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) == 0 {
				continue
			}
			m.Header.Response = true
			m.Additionals = nil
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{192, 0, 2, 7}},
			}}
			if out, err := m.Pack(); err == nil {
				c.WriteTo(out, from)
			}
		}
	})
	t.Cleanup(func() { c.Close(); all.Wait() })
	return c.LocalAddr().String()
}

// dig gets its answers through an edge, none where they are lost, and sees ICMP.
func TestDig(t *testing.T) {
	path, err := exec.LookPath("dig")
	if err != nil {
		t.Skip("there is no dig here")
	}
	s := serve(t, udpTopology(answers(t)))
	_, port, _ := net.SplitHostPort(s.listens["users -> far"])
	dig := func(more ...string) string {
		out, _ := exec.Command(path, append([]string{"@127.0.0.1", "-p", port, "auth.example.com", "+tries=1"}, more...)...).CombinedOutput()
		return string(out)
	}
	answered := func() bool { return strings.Contains(dig("+time=20"), "192.0.2.7") }
	if !answered() {
		t.Fatal(dig("+time=20"))
	}
	id := s.inject("far", "--loss", "100%")
	if out := dig("+time=1"); !strings.Contains(out, "timed out") {
		t.Errorf("answered although all is lost: %s", out)
	}
	if r := s.receipt(id); r.Injected != 1 || r.Matched != 1 {
		t.Errorf("%+v", r)
	}
	s.lift(id)
	if !answered() {
		t.Error("not answered after the lift")
	}
	id = s.inject("far", "--refuse")
	if out := dig("+time=20"); !strings.Contains(out, "refused") {
		t.Errorf("not refused: %s", out)
	}
	s.lift(id)
	if !answered() {
		t.Error("not answered after the refusal")
	}
}
