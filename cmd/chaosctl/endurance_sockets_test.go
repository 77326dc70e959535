//go:build linux

package main

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// socket is a socket of a process.
type socket struct {
	fd, inode    string
	local, peer  netip.AddrPort
	state        string // empty if the kernel's table of TCP has it not: it was reset, or speaks something else
	unsent, left string // bytes in its queues, in hex: not acknowledged, not read
}

func (s socket) String() string {
	if s.state == "" {
		return fmt.Sprintf("%s [%s] reset, or not TCP", s.fd, s.inode)
	}
	return fmt.Sprintf("%s [%s] %s -> %s %s, %s unsent, %s unread", s.fd, s.inode, s.local, s.peer, s.state, s.unsent, s.left)
}

// tcpStates are named by their numbers in the kernel's table.
var tcpStates = map[string]string{
	"01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2", "06": "TIME_WAIT",
	"07": "CLOSE", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN", "0B": "CLOSING", "0C": "NEW_SYN_RECV",
}

var socketName = regexp.MustCompile(`^(\d+) socket:\[(\d+)\]$`)

// sockets looks at the sockets among what the process holds.
func (s *toxi) sockets(u usage) []socket {
	s.t.Helper()
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", s.cmd.Process.Pid))
	if err != nil {
		s.t.Fatal(err)
	}
	lines := map[string][]string{}
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 9 {
			lines[f[9]] = f
		}
	}
	var all []socket
	for _, name := range u.names {
		m := socketName.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		one := socket{fd: m[1], inode: m[2]}
		if f := lines[one.inode]; f != nil {
			one.local, one.peer, one.state = tableAddr(f[1]), tableAddr(f[2]), tcpStates[f[3]]
			one.unsent, one.left, _ = strings.Cut(f[4], ":")
		}
		all = append(all, one)
	}
	return all
}

// tableAddr reads an address of the table: the bytes of a number of this machine,
// then the port.
func tableAddr(text string) netip.AddrPort {
	host, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(host)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b) != 4 {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{b[3], b[2], b[1], b[0]}), uint16(n))
}

// ownEnds counts the sockets that the process has connected with each other. Each
// loop of the relay keeps two, but makes them only once it is up right before
// something is due: on a busy machine it may delay bytes for long without.
func ownEnds(all []socket) int {
	n := 0
	for _, a := range all {
		if a.state == "ESTABLISHED" && slices.ContainsFunc(all, func(b socket) bool { return b.local == a.peer && b.peer == a.local }) {
			n++
		}
	}
	return n
}

// lessOwn is usage without those sockets; more than every loop may have are counted.
func (s *toxi) lessOwn() usage {
	s.t.Helper()
	u := s.usage()
	u.descriptors -= min(ownEnds(s.sockets(u)), 2*runtime.GOMAXPROCS(0))
	return u
}

// strays describes what the process holds and did not hold at the start: the
// sockets, and the connections that it knows of.
func (s *toxi) strays(u, start usage) string {
	var b strings.Builder
	for _, one := range s.sockets(u) {
		there := func(name string) bool { return strings.HasSuffix(name, " socket:["+one.inode+"]") }
		if !slices.ContainsFunc(start.names, there) {
			fmt.Fprintf(&b, "%s\n", one)
		}
	}
	code, list, err := s.call(s.http, "GET", s.own+"/v1/connections", "")
	fmt.Fprintf(&b, "connections: %d %s %v\nnow:          %q\nat the start: %q", code, list, err, u.names, start.names)
	return b.String()
}

// TestOwnSocketsAreNotLeft: what a loop makes for itself while the others are
// counted is not taken for something that was left behind.
func TestOwnSocketsAreNotLeft(t *testing.T) {
	s := startToxi(t, "", "-runtime-metrics")
	floods := []string{s.proxy("flood", upstream(t, "127.0.0.1:0", flood), "")}
	d := &dropping{toxi: s, servers: floods, floods: floods}
	s.must("POST", "/proxies/flood/toxics", `{"name":"slow","type":"latency","attributes":{"latency":50}}`)
	start := s.lessOwn()
	if n := ownEnds(s.sockets(start)); n != 0 {
		t.Fatalf("%d sockets are connected with each other before anything was delayed", n)
	}
	r := rand.New(rand.NewPCG(1, 1))
	made := 0
	for began := time.Now(); made == 0 && time.Since(began) < patience; {
		d.one(r, 0, true)
		made = ownEnds(s.sockets(s.resources()))
	}
	if made == 0 || made%2 != 0 || made > 2*runtime.GOMAXPROCS(0) {
		t.Errorf("%d sockets are connected with each other once bytes were delayed", made)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	u := s.lessOwn()
	for began := time.Now(); time.Since(began) < patience && u.descriptors > start.descriptors; u = s.lessOwn() {
		pause(timer, 50*time.Millisecond, nil)
	}
	if u.descriptors > start.descriptors {
		t.Errorf("left behind: %s; at the start: %s\n%s", u, start, s.strays(u, start))
	}
	d.report(t)
	s.stop()
}
