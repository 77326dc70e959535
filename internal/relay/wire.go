package relay

import (
	"errors"
	"net/netip"
	"time"
)

// errAgain: not now; the loop will say when.
var errAgain = errors.New("not now")

// wire is a socket of a connection as its loop sees it: nothing here waits.
type wire interface {
	// read reads what is there; errAgain if nothing is, io.EOF at the end.
	read(b []byte) (int, error)
	// write sends what the socket takes of several pieces, in order; errAgain if
	// it takes nothing.
	write(bufs [][]byte) (int, error)
	// shut sends a FIN after what was written.
	shut()
	// flushing tells whether written bytes still need this process; the loop says
	// when they no longer do by calling the socket writable.
	flushing() bool
	// unsent tells whether the peer has not yet taken all that was written.
	unsent() bool
	// close closes the socket, with an RST or without. Nothing is called after it.
	close(reset bool)
}

// socketOwner is a connection, which is told what its sockets are ready for.
type socketOwner interface{ ready(way Way, r readiness) }

// readiness is what a socket has become ready for.
type readiness struct {
	readable, writable, ending, urgent bool
	broken                             bool // over: by both FINs, or not connected at all
	reset                              bool // broken by the peer, or by the network
}

// end is one end of a connection: its wire and what is known of it.
type end struct {
	wire     wire
	fd       int // where wires can be spliced, else -1
	readable bool
	writable bool
	urgent   bool      // a read may stop short although there is more
	reset    bool      // the peer has broken it
	ending   bool      // the peer sends no more: reading goes on until it says so
	endedAt  time.Time // when ending was told; connections of TCP edges
	addr     netip.AddrPort
}

// note keeps what a socket has become ready for.
func (e *end) note(r readiness) {
	e.readable = e.readable || r.readable
	e.writable = e.writable || r.writable
	e.ending = e.ending || r.ending
	e.urgent = e.urgent || r.urgent
	e.reset = e.reset || r.reset
}
