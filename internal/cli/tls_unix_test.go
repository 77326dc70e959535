//go:build unix

package cli

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/chaosctl/chaosctl/internal/relay"
)

func TestReadSmall(t *testing.T) {
	pipe, long := filepath.Join(t.TempDir(), "pipe"), filepath.Join(t.TempDir(), "long")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if b, err := readSmall(pipe); len(b) > 0 || err != nil {
		t.Errorf("a pipe that nobody writes to: %q %v", b, err)
	}
	if err := os.WriteFile(long, make([]byte, 1<<20+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSmall(long); err == nil || !strings.Contains(err.Error(), "limit") {
		t.Errorf("one byte too many: %v", err)
	}
}

// What is no name of a host is given what a caller without a name is given.
func TestLeafForOddNames(t *testing.T) {
	c := &certificates{folder: filepath.Join(t.TempDir(), "ca"), say: t.Logf}
	if err := c.openAuthority(); err != nil {
		t.Fatal(err)
	}
	ours, theirs := net.Pipe()
	defer ours.Close()
	defer theirs.Close()
	for _, name := range []string{"", strings.Repeat("a", 50_000), "a b", "a..b", "*.example", "a\x00b"} {
		leaf, err := c.leaf([]string{"pay.example"})(&tls.ClientHelloInfo{ServerName: name, Conn: ours}, relay.Sound)
		if err != nil || leaf.Leaf.VerifyHostname("pay.example") != nil {
			t.Errorf("%.20q: %v", name, err)
		}
	}
	leaf, err := c.leaf(nil)(&tls.ClientHelloInfo{ServerName: "MAIL.example.", Conn: ours}, relay.Sound)
	if err != nil || leaf.Leaf.VerifyHostname("mail.example") != nil {
		t.Error(err)
	}
}
