//go:build !linux

package relay

import (
	"errors"
	"net"
	"net/netip"
)

// rawUDP is what an edge's socket does besides what the standard library offers:
// nothing here.
type rawUDP struct{}

func newRawUDP(*net.UDPConn) (rawUDP, error) { return rawUDP{}, nil }

func (rawUDP) refuse() error              { return errors.ErrUnsupported }
func (rawUDP) serve() error               { return nil }
func (rawUDP) calledAt([]byte) netip.Addr { return netip.Addr{} }

func (rawUDP) answer(c *net.UDPConn, b []byte, to netip.AddrPort, _ netip.Addr) error {
	_, err := c.WriteToUDPAddrPort(b, to)
	return err
}
