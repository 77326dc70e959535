package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	rcodeFormErr = dns.RcodeFormatError
	rcodeNotImp  = dns.RcodeNotImplemented

	maxCallers = 1000             // connections by TCP
	maxPiped   = 100              // queries under way on one of them
	idleTime   = 30 * time.Second // a connection without a query is closed then
	readTime   = 10 * time.Second // a query that has begun must be whole by then
)

// serveUDP reads queries until the socket is closed.
func (r *Resolver) serveUDP() {
	underWay := make(chan struct{}, maxUnderWay)
	_ = r.udp.SetReadBuffer(1 << 20) // what the system allows will do
	buf := make([]byte, maxMessage)
	for {
		n, from, err := r.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // of an answer that could not be delivered, perhaps
			r.breathe()
			continue
		}
		raw := slices.Clone(buf[:n])
		select {
		case underWay <- struct{}{}:
		default:
			r.lost.Add(1)
			continue
		}
		r.all.Go(func() {
			defer func() { <-underWay }()
			r.answering(func() {
				if a := r.handle(r.ctx, raw, false); a != nil {
					_, _ = r.udp.WriteToUDPAddrPort(a, from) // whoever asked may be gone
				}
			})
		})
	}
}

// serveTCP accepts connections until the listener is closed.
func (r *Resolver) serveTCP() {
	open := make(chan struct{}, maxCallers)
	for {
		select {
		case open <- struct{}{}:
		case <-r.ctx.Done():
			return
		}
		c, err := r.tcp.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // there are no descriptors left, perhaps for a while
			<-open
			r.breathe()
			continue
		}
		r.all.Go(func() {
			defer func() { <-open }()
			r.serveConn(c)
		})
	}
}

// breathe waits a moment.
func (r *Resolver) breathe() {
	t := time.NewTimer(50 * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
	case <-r.ctx.Done():
	}
}

// serveConn answers the queries of one connection, in the order in which answers
// are found (RFC 7766), until its caller ends it or is silent for long.
func (r *Resolver) serveConn(c *net.TCPConn) {
	defer c.Close()
	ctx, giveUp := context.WithCancel(r.ctx)
	defer giveUp()
	interrupt := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer interrupt()
	var all sync.WaitGroup
	var writing sync.Mutex
	piped := make(chan struct{}, maxPiped)
	var err error
	for ctx.Err() == nil {
		var raw []byte
		if raw, err = readFrame(c, idleTime, readTime); err != nil {
			break
		}
		piped <- struct{}{}
		all.Go(func() {
			defer func() { <-piped }()
			r.answering(func() {
				a := r.handle(ctx, raw, true)
				if a == nil {
					return
				}
				writing.Lock()
				defer writing.Unlock()
				_ = c.SetWriteDeadline(time.Now().Add(readTime))
				_, _ = c.Write(frame(a)) // whoever asked may be gone
			})
		})
	}
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded): // it may be waiting for answers that are late
	case errors.Is(err, io.EOF): // it may have closed its side alone, and still read
		defer time.AfterFunc(idleTime, giveUp).Stop()
	default:
		giveUp()
	}
	all.Wait()
}

// frame puts the length before a message, as TCP wants it.
func frame(m []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 0, len(m)+2), uint16(len(m))), m...)
}

// readFrame reads a message with its length before it: its first byte comes within
// idle, all of it within whole from then on.
func readFrame(c net.Conn, idle, whole time.Duration) ([]byte, error) {
	var size [2]byte
	if err := c.SetReadDeadline(time.Now().Add(idle)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, size[:1]); err != nil {
		return nil, err
	}
	if err := c.SetReadDeadline(time.Now().Add(whole)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(c, size[1:]); err != nil {
		return nil, err
	}
	m := make([]byte, binary.BigEndian.Uint16(size[:]))
	_, err := io.ReadFull(c, m)
	return m, err
}
