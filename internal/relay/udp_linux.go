package relay

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"github.com/chaosctl/chaosctl/internal/linux"
)

// rawUDP is what an edge's socket does besides what the standard library offers.
type rawUDP struct {
	conn syscall.RawConn
	own  netip.AddrPort
	// any: it listens on all addresses, so that answers have to name theirs.
	any bool
}

func newRawUDP(c *net.UDPConn) (rawUDP, error) {
	conn, err := c.SyscallConn()
	if err != nil {
		return rawUDP{}, err
	}
	r := rawUDP{conn: conn, own: c.LocalAddr().(*net.UDPAddr).AddrPort()}
	// Beyond the system's limit, for who may do that: what does not fit is lost.
	_ = r.control(func(fd int) error {
		return syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, socketBuffer)
	})
	if r.any = r.own.Addr().IsUnspecified(); !r.any {
		return r, nil
	}
	return r, r.control(func(fd int) error {
		if r.own.Addr().Is4() {
			return syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		}
		// IPv4 callers of such a socket are told of in the older form.
		_ = syscall.SetsockoptInt(fd, syscall.IPPROTO_IP, syscall.IP_PKTINFO, 1)
		return syscall.SetsockoptInt(fd, syscall.IPPROTO_IPV6, syscall.IPV6_RECVPKTINFO, 1)
	})
}

func (r rawUDP) control(do func(fd int) error) error {
	var failed error
	if err := r.conn.Control(func(fd uintptr) { failed = do(int(fd)) }); err != nil {
		return err
	}
	return failed
}

// refuse has callers answered that nobody has the port: the socket hears its own
// address alone, from which nobody else can send.
func (r rawUDP) refuse() error {
	own := r.own
	if r.any {
		own = netip.AddrPortFrom(loopback(own.Addr()), own.Port())
	}
	return r.control(func(fd int) error { return linux.HearOnly(fd, own) })
}

func (r rawUDP) serve() error { return r.control(linux.HearAll) }

// calledAt is which address of ours was called, by the control messages of a
// datagram; the zero address where there is only one.
func (r rawUDP) calledAt(oob []byte) netip.Addr {
	if !r.any || len(oob) == 0 {
		return netip.Addr{}
	}
	all, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return netip.Addr{}
	}
	for _, m := range all {
		switch {
		case m.Header.Level == syscall.IPPROTO_IP && m.Header.Type == syscall.IP_PKTINFO && len(m.Data) >= syscall.SizeofInet4Pktinfo:
			return netip.AddrFrom4((*syscall.Inet4Pktinfo)(unsafe.Pointer(&m.Data[0])).Spec_dst)
		case m.Header.Level == syscall.IPPROTO_IPV6 && m.Header.Type == syscall.IPV6_PKTINFO && len(m.Data) >= syscall.SizeofInet6Pktinfo:
			return netip.AddrFrom16((*syscall.Inet6Pktinfo)(unsafe.Pointer(&m.Data[0])).Addr).Unmap()
		}
	}
	return netip.Addr{}
}

// answer sends to a caller from the address that it has called.
func (r rawUDP) answer(c *net.UDPConn, b []byte, to netip.AddrPort, from netip.Addr) error {
	_, _, err := c.WriteMsgUDPAddrPort(b, r.sentFrom(from), to)
	return err
}

// sentFrom is the control message that chooses an address; nil leaves it to the
// kernel.
func (r rawUDP) sentFrom(from netip.Addr) []byte {
	switch {
	case !from.IsValid(), from.IsLinkLocalUnicast(), from.IsMulticast():
		return nil
	case from.Is4():
		oob := make([]byte, syscall.CmsgSpace(syscall.SizeofInet4Pktinfo))
		header(oob, syscall.IPPROTO_IP, syscall.IP_PKTINFO, syscall.SizeofInet4Pktinfo)
		(*syscall.Inet4Pktinfo)(unsafe.Pointer(&oob[syscall.CmsgLen(0)])).Spec_dst = from.As4()
		return oob
	}
	oob := make([]byte, syscall.CmsgSpace(syscall.SizeofInet6Pktinfo))
	header(oob, syscall.IPPROTO_IPV6, syscall.IPV6_PKTINFO, syscall.SizeofInet6Pktinfo)
	(*syscall.Inet6Pktinfo)(unsafe.Pointer(&oob[syscall.CmsgLen(0)])).Addr = from.As16()
	return oob
}

func header(oob []byte, level, kind int32, size int) {
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&oob[0]))
	h.Level, h.Type = level, kind
	h.SetLen(syscall.CmsgLen(size))
}
