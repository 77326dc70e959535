package experiment

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/chaosctl/chaosctl/internal/strict"
)

const (
	maxName  = 63  // characters of a name that others refer to
	maxTitle = 100 // characters of a name that is only shown and referred to in its document
)

// Validate checks the name.
func (m Meta) Validate() error {
	if m.Name == "" {
		return strict.Fieldf("name", "is missing")
	}
	if fixed := tidy(m.Name, "-."); fixed != m.Name {
		return strict.Fieldf("name", "must be at most %d lower case letters, digits, dots and dashes, and start and end with a letter or digit; write `%s`", maxName, fixed)
	}
	return nil
}

// checkServiceName refuses what cannot be the name of a service.
func checkServiceName(name string) error {
	if name == Users {
		return errors.New("is reserved for whoever calls from outside; give the service another name")
	}
	if fixed := tidy(name, "-"); fixed != name {
		return fmt.Errorf("a name must be at most %d lower case letters, digits and dashes, and start and end with a letter or digit; write `%s`", maxName, fixed)
	}
	return nil
}

// tidy is the name nearest to s that is allowed; s itself if it is.
func tidy(s, punctuation string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune(punctuation, r):
			b.WriteRune(r)
		default:
			b.WriteByte('-')
		}
	}
	fixed := strings.Trim(b.String(), punctuation)
	if len(fixed) > maxName {
		fixed = strings.Trim(fixed[:maxName], punctuation)
	}
	if fixed == "" {
		return "a-name"
	}
	return fixed
}

// checkTitle refuses names of flows, gates, probes and steps that cannot be
// shown on one line.
func checkTitle(s string) error {
	if err := notExpanded(s); err != nil {
		return err
	}
	switch {
	case s == "":
		return errors.New("is missing")
	case utf8.RuneCountInString(s) > maxTitle:
		return fmt.Errorf("must be at most %d characters long", maxTitle)
	case strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }):
		return errors.New("must be one line of plain text without space around it")
	}
	return nil
}

// checkAddress refuses what is not host:port; least is the lowest port.
func checkAddress(s string, least int) error {
	host, port, err := net.SplitHostPort(s)
	n, e := strconv.ParseUint(port, 10, 16)
	if err := notExpanded(s); err != nil {
		return err
	}
	switch {
	case s == "":
		return errors.New("is missing; it must be host:port, for example 127.0.0.1:8080")
	case strings.Contains(s, "://"):
		return fmt.Errorf("must be host:port without a scheme or path, for example 127.0.0.1:8080, not %q", strict.Clip(s))
	case err != nil:
		return fmt.Errorf("must be host:port, for example 127.0.0.1:8080, not %q", strict.Clip(s))
	case e != nil || int(n) < least || port[0] == '+':
		return fmt.Errorf("the port must be a number from %d to 65535, not %q", least, strict.Clip(port))
	case host == "":
		return fmt.Errorf("lacks a host: write 127.0.0.1:%s for this machine alone", port)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	if len(host) > 253 || strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-_") != "" {
		return fmt.Errorf("must start with a host name or an IP address, not %q", strict.Clip(host))
	}
	return nil
}

// ports are addresses that are taken, by port and host, with their owners.
// Hosts are compared as they are written, localhost as 127.0.0.1; an unspecified
// one meets all. Port 0 meets nothing.
type ports map[string]map[string]string

// take notes the owner of an address; if it is taken, it tells by whom.
func (p ports) take(address, owner string) (other string, taken bool) {
	if other, taken = p.owner(address); taken {
		return other, true
	}
	if host, port, ok := splitAddress(address); ok {
		if p[port] == nil {
			p[port] = map[string]string{}
		}
		p[port][host] = owner
	}
	return "", false
}

// owner tells who has an address.
func (p ports) owner(address string) (string, bool) {
	host, port, ok := splitAddress(address)
	if !ok {
		return "", false
	}
	for _, h := range []string{host, anyHost} {
		if other, taken := p[port][h]; taken {
			return other, true
		}
	}
	if hosts := slices.Sorted(maps.Keys(p[port])); host == anyHost && len(hosts) > 0 {
		return p[port][hosts[0]], true
	}
	return "", false
}

const anyHost = "*"

// splitAddress takes host:port apart, in the form in which addresses are
// compared; false for port 0 and what is no address.
func splitAddress(s string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	n, e := strconv.ParseUint(port, 10, 16)
	return plainHost(host), strconv.FormatUint(n, 10), err == nil && e == nil && n != 0
}

func plainHost(h string) string {
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if h == "localhost" {
		return "127.0.0.1"
	}
	if ip, err := netip.ParseAddr(h); err == nil {
		if ip.IsUnspecified() {
			return anyHost
		}
		return ip.Unmap().String()
	}
	return h
}

// among says that a word is none of a set, nil if it is.
func among[T ~string](what string, word T, words ...T) error {
	if slices.Contains(words, word) {
		return nil
	}
	list := make([]string, len(words))
	for i, w := range words {
		list[i] = string(w)
	}
	return fmt.Errorf("there is no %s %q%s", what, strict.Clip(string(word)), strict.Suggest(string(word), list))
}

// at says what err says of a field; nil if it says nothing.
func at(path string, err error) error {
	if err == nil {
		return nil
	}
	return strict.Fieldf(path, "%s", err)
}
