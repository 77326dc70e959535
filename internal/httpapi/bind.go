package httpapi

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/chaosctl/chaosctl/experiment"
)

// MinToken and MaxToken bound the length of a token.
const (
	MinToken = 16
	MaxToken = 4096
)

// ValidToken refuses tokens that are short or that a header cannot carry: 16 to
// 4096 visible ASCII characters, no spaces. The message never holds the token.
func ValidToken(s string) error {
	if len(s) < MinToken || len(s) > MaxToken {
		return badToken(fmt.Sprintf("the token has %d characters; it must have %d to %d", len(s), MinToken, MaxToken))
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return badToken("the token must be visible ASCII characters without spaces")
		}
	}
	return nil
}

func badToken(message string) error {
	return &experiment.Error{Code: experiment.BadInput, Message: message, Hint: "make one with: openssl rand -hex 32"}
}

// CheckBind says whether the API may be served on addr (host:port): off the
// loopback interface only with a token. A host name counts as loopback only if
// all its addresses are; an empty host, 0.0.0.0 and :: never are. The error is
// an *experiment.Error.
func CheckBind(addr, token string) error {
	if token != "" {
		if err := ValidToken(token); err != nil {
			return err
		}
	}
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil {
		return &experiment.Error{
			Code: experiment.BadInput, Message: fmt.Sprintf("the API address %q is not host:port: %v", addr, err),
			Hint: "for example 127.0.0.1:8475",
		}
	}
	if token != "" {
		return nil
	}
	home, err := onLoopback(host)
	if err != nil {
		return &experiment.Error{Code: experiment.BadInput, Message: fmt.Sprintf("the API address %q cannot be resolved: %v", addr, err)}
	}
	if !home {
		return needsToken(addr)
	}
	return nil
}

// checkListener is CheckBind for what was really bound.
func checkListener(a net.Addr, token string) error {
	if token != "" {
		return ValidToken(token)
	}
	if tcp, ok := a.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
		return nil
	}
	return needsToken(a.String())
}

func needsToken(addr string) error {
	return &experiment.Error{
		Code:    experiment.Guarded,
		Message: fmt.Sprintf("the API would listen on %s, which others can reach, and has no token", addr),
		Hint:    "give --token-file FILE, or listen on 127.0.0.1",
	}
}

func onLoopback(host string) (bool, error) {
	if host == "" {
		return false, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.Unmap().IsLoopback(), nil
	}
	if strings.EqualFold(host, "localhost") {
		return true, nil // reserved for loopback (RFC 6761); Serve checks what was bound
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", host, err)
	}
	for _, ip := range ips {
		if !ip.Unmap().IsLoopback() {
			return false, nil
		}
	}
	return len(ips) > 0, nil
}
