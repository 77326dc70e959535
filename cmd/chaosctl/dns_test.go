//go:build unix

package main

import (
	"errors"
	"net"
	"strings"
	"sync/atomic"

	"github.com/miekg/dns"
	"github.com/rogpeppe/go-internal/testscript"
)

// cmdNameserver starts a DNS server that answers every query for an A record with
// 192.0.2.10. NAME, in capitals, becomes its address; it counts nothing.
//
//	nameserver UPSTREAM
func cmdNameserver(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: nameserver NAME")
	}
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	up, over := make(chan struct{}), make(chan error, 1)
	s := &dns.Server{PacketConn: pc, NotifyStartedFunc: func() { close(up) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, req *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(req)
		if req.Question[0].Qtype == dns.TypeA {
			rr, _ := dns.NewRR(req.Question[0].Name + " 60 IN A 192.0.2.10")
			m.Answer = append(m.Answer, rr)
		}
		_ = w.WriteMsg(m)
	})}
	go func() { over <- s.ActivateAndServe() }()
	<-up
	ts.Defer(func() {
		_ = s.Shutdown()
		<-over
	})
	ts.Setenv(args[0], pc.LocalAddr().String())
}

// asked makes each query an id of its own.
var asked atomic.Uint32

// cmdResolve asks a DNS server for an A record. WANT is the address it answers
// with, the error (NXDOMAIN), nothing (an empty answer) or silence:
//
//	resolve 192.0.2.10 $RESOLVER auth.example.com
//	resolve -tcp NXDOMAIN $RESOLVER auth.example.com
func cmdResolve(ts *testscript.TestScript, neg bool, args []string) {
	c := &dns.Client{Timeout: patience}
	if len(args) > 0 && args[0] == "-tcp" {
		c.Net, args = "tcp", args[1:]
	}
	if neg || len(args) != 3 {
		ts.Fatalf("usage: resolve [-tcp] ADDRESS|RCODE|nothing|silence SERVER NAME")
	}
	if args[0] == "silence" {
		c.Timeout = patience / 30
	}
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(args[2]), dns.TypeA)
	m.Id = uint16(asked.Add(1))
	a, _, err := c.Exchange(m, args[1])
	got := "nothing"
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout():
		got = "silence"
	case err != nil:
		ts.Fatalf("%v", err)
	case a.Rcode != dns.RcodeSuccess:
		got = dns.RcodeToString[a.Rcode]
	case len(a.Answer) > 0:
		got = ""
		for _, rr := range a.Answer {
			if r, ok := rr.(*dns.A); ok {
				got += " " + r.A.String()
			}
		}
		got = strings.TrimSpace(got)
	}
	if got != args[0] {
		ts.Fatalf("%s is answered with %s, not %s:\n%v", args[2], got, args[0], a)
	}
}
