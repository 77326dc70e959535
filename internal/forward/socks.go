package forward

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Of SOCKS5 (RFC 1928).
const (
	socksVersion  = 5
	socksNoAuth   = 0
	socksNoMethod = 0xff
	socksConnect  = 1

	addrIPv4 = 1
	addrName = 3
	addrIPv6 = 4
)

// What a request is answered.
const (
	socksDone        = 0
	socksFailure     = 1
	socksForbidden   = 2
	socksUnreachable = 4
	socksNoCommand   = 7
	socksNoAddress   = 8
)

// errSOCKS says that the caller does not speak it.
var errSOCKS = errors.New("not SOCKS5")

// socks answers a caller whose first byte was that of SOCKS5, and hands its
// connection over. stop takes the end of ctx off the connection; it is false if
// that has come.
func (d *Door) socks(ctx context.Context, c *net.TCPConn, stop func() bool) {
	e, err := d.negotiate(ctx, c)
	if !stop() || err != nil {
		c.Close()
		return
	}
	c.SetDeadline(time.Time{})
	d.tunnel(c, nil, e)
}

// negotiate reads what is asked for and answers it. Reading byte counts that are
// known, it takes nothing that belongs to the tunnel.
func (d *Door) negotiate(ctx context.Context, c *net.TCPConn) (*edge, error) {
	if err := chooseMethod(c); err != nil {
		return nil, err
	}
	h, code, err := readRequest(c)
	var e *edge
	if err == nil {
		e, err = d.reach(ctx, h, true)
		switch {
		case err == nil:
		case errors.Is(err, errDenied):
			code = socksForbidden
		case errors.Is(err, errFull):
			code = socksFailure
		default:
			code = socksUnreachable
		}
	}
	if err != nil && code == socksDone {
		return nil, err // broken off: there is nobody to answer
	}
	if err != nil {
		d.cfg.Log.Warn("refused", "host", clip(h.String()), "why", err)
	}
	// The address that we call from is not known yet, and nobody needs it.
	if _, werr := c.Write([]byte{socksVersion, code, 0, addrIPv4, 0, 0, 0, 0, 0, 0}); werr != nil {
		return nil, werr
	}
	return e, err
}

// chooseMethod takes callers that can do without a password: only those of this
// machine get here.
func chooseMethod(c net.Conn) error {
	var n [1]byte
	if _, err := io.ReadFull(c, n[:]); err != nil {
		return err
	}
	methods := make([]byte, n[0])
	if _, err := io.ReadFull(c, methods); err != nil {
		return err
	}
	for _, m := range methods {
		if m == socksNoAuth {
			_, err := c.Write([]byte{socksVersion, socksNoAuth})
			return err
		}
	}
	_, _ = c.Write([]byte{socksVersion, socksNoMethod})
	return fmt.Errorf("%w without a password", errSOCKS)
}

// readRequest returns whom the caller wants; code is not socksDone if it can be
// told that this cannot be.
func readRequest(r io.Reader) (h host, code byte, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return h, socksDone, err
	}
	if head[0] != socksVersion || head[2] != 0 {
		return h, socksFailure, errSOCKS
	}
	var name string
	switch head[3] {
	case addrIPv4, addrIPv6:
		b := make([]byte, map[byte]int{addrIPv4: 4, addrIPv6: 16}[head[3]])
		if _, err := io.ReadFull(r, b); err != nil {
			return h, socksDone, err
		}
		a, _ := netip.AddrFromSlice(b)
		name = a.String()
	case addrName:
		var n [1]byte
		if _, err := io.ReadFull(r, n[:]); err != nil {
			return h, socksDone, err
		}
		b := make([]byte, n[0])
		if _, err := io.ReadFull(r, b); err != nil {
			return h, socksDone, err
		}
		name = string(b)
	default:
		return h, socksNoAddress, fmt.Errorf("%w: address type %d", errSOCKS, head[3])
	}
	var port [2]byte
	if _, err := io.ReadFull(r, port[:]); err != nil {
		return h, socksDone, err
	}
	h.port = binary.BigEndian.Uint16(port[:])
	if head[1] != socksConnect {
		return h, socksNoCommand, errors.New("SOCKS5: only CONNECT is served, neither BIND nor UDP")
	}
	if h.name, err = checkName(name); err != nil || h.port == 0 {
		return h, socksFailure, fmt.Errorf("SOCKS5: there is no host %q with port %d", clip(name), h.port)
	}
	return h, socksDone, nil
}
