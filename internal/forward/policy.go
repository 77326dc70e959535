package forward

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/chaosctl/chaosctl/experiment"
)

// errDenied says that an address is never called.
var errDenied = errors.New("is never called through this proxy")

// host is who is called: a name or an address in lower case, and a port.
type host struct {
	name string
	port uint16
}

func (h host) String() string { return net.JoinHostPort(h.name, strconv.Itoa(int(h.port))) }

// maxHostName is the longest name that DNS allows.
const maxHostName = 253

// parseHost reads host:port. Without a port it is usual; 0 demands one.
func parseHost(s string, usual uint16) (host, error) {
	name, port, err := net.SplitHostPort(s)
	if err != nil {
		if usual == 0 || strings.Contains(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), "]") {
			return host{}, fmt.Errorf("%q is not host:port", clip(s))
		}
		name, port = strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"), strconv.Itoa(int(usual))
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return host{}, fmt.Errorf("%q is not a port", clip(port))
	}
	name, err = checkName(name)
	return host{name, uint16(n)}, err
}

// checkName returns a name or address as edges are called by it.
func checkName(name string) (string, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		if a.Zone() != "" {
			return "", fmt.Errorf("%q has a zone: only addresses that mean the same everywhere are called", clip(name))
		}
		return a.Unmap().String(), nil
	}
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	bad := name == "" || len(name) > maxHostName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-._") != ""
	for label := range strings.SplitSeq(name, ".") {
		bad = bad || label == "" || len(label) > 63
	}
	if bad {
		return "", fmt.Errorf("%q is not the name of a host", clip(name))
	}
	return name, nil
}

func clip(s string) string { return s[:min(len(s), 80)] }

// metadata are the addresses at which clouds tell machines who they are, with
// their credentials, beside the link-local ones.
var metadata = []netip.Addr{
	netip.MustParseAddr("fd00:ec2::254"),   // AWS
	netip.MustParseAddr("100.100.100.200"), // Alibaba
	netip.MustParseAddr("168.63.129.16"),   // Azure
	netip.MustParseAddr("192.0.0.192"),     // Oracle
}

// permitted refuses addresses that no dependency has: those of this link (with the
// metadata services there), of groups, and the other metadata services.
func permitted(a netip.Addr) error {
	a = disguised(a.Unmap())
	switch {
	case !a.IsValid(), a.Zone() != "", a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsInterfaceLocalMulticast(),
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}), slices.Contains(metadata, a):
		return fmt.Errorf("%s %w: it is a link-local, multicast or metadata address", a, errDenied)
	case a.IsUnspecified():
		return fmt.Errorf("%s %w: it is no address of a host", a, errDenied)
	}
	return nil
}

// disguises are the prefixes of IPv6 addresses that stand for IPv4 ones, and where in
// them those are.
var disguises = []struct {
	prefix netip.Prefix
	at     int
	flip   byte // what its bytes are mixed with
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12, 0},    // behind a translator (RFC 6052)
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12, 0},  // behind a local one (RFC 8215)
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12, 0}, // translated (RFC 2765)
	{netip.MustParsePrefix("2002::/16"), 2, 0},        // 6to4 (RFC 3056)
	{netip.MustParsePrefix("2001::/32"), 12, 0xff},    // Teredo (RFC 4380)
	{netip.MustParsePrefix("::/96"), 12, 0},           // compatible (RFC 4291)
}

// disguised is the IPv4 address that an address stands for, else the address itself.
func disguised(a netip.Addr) netip.Addr {
	if !a.Is6() || a.IsLoopback() || a.IsUnspecified() {
		return a
	}
	for _, d := range disguises {
		if d.prefix.Contains(a) {
			b := a.As16()
			v4 := [4]byte(b[d.at:])
			for i := range v4 {
				v4[i] ^= d.flip
			}
			return netip.AddrFrom4(v4)
		}
	}
	return a
}

// resolve finds the addresses of a host, for each call anew: a name that turned to
// a denied address since the last is refused.
func (d *Door) resolve(ctx context.Context, text string) ([]netip.AddrPort, error) {
	h, err := parseHost(text, 0)
	if err != nil {
		return nil, err
	}
	var found []netip.Addr
	if a, err := netip.ParseAddr(h.name); err == nil {
		found = []netip.Addr{a}
	} else if found, err = d.lookUp(ctx, h.name); err != nil {
		return nil, err
	}
	var good []netip.AddrPort
	var denied error
	for _, a := range found {
		to := netip.AddrPortFrom(a.Unmap(), h.port)
		if err := permitted(a); err != nil {
			denied = err
		} else if to == d.own {
			denied = fmt.Errorf("%s %w: it is this proxy itself", to, errDenied)
		} else {
			good = append(good, to)
		}
	}
	if len(good) == 0 {
		if denied == nil {
			denied = fmt.Errorf("%s has no address", h.name)
		}
		return nil, denied
	}
	return good, nil
}

// intercepts tells whether the TLS of a host is answered by us.
func (d *Door) intercepts(h host) bool {
	return d.cfg.Leaf != nil && experiment.Intercepted(d.cfg.Intercept, h.name, strconv.Itoa(int(h.port)))
}
