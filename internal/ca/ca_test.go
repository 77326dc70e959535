package ca_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/chaosctl/chaosctl/internal/ca"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func create(t *testing.T) (*ca.Authority, string) {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "ca")
	a, err := ca.Create(folder, false)
	if err != nil {
		t.Fatal(err)
	}
	return a, folder
}

func TestOneFileOfItsOwner(t *testing.T) {
	a, folder := create(t)
	info, err := os.Stat(a.Path())
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v (%v)", info.Mode(), err)
	}
	left, _ := os.ReadDir(folder)
	if len(left) != 1 {
		t.Errorf("%d files are in the folder", len(left))
	}
	again, err := ca.Load(folder)
	if err != nil || !again.Certificate().Equal(a.Certificate()) {
		t.Errorf("loaded another one (%v)", err)
	}
	if _, err := ca.Create(folder, false); !errors.Is(err, ca.ErrExists) {
		t.Errorf("made twice: %v", err)
	}
	other, err := ca.Create(folder, true)
	if err != nil || other.Certificate().Equal(a.Certificate()) {
		t.Errorf("not replaced: %v", err)
	}
	if !strings.HasPrefix(other.Certificate().Subject.CommonName, "chaosctl CA ") || strings.Contains(string(other.PEM()), "PRIVATE") {
		t.Errorf("%s\n%s", other.Certificate().Subject, other.PEM())
	}
}

func TestLoadRefuses(t *testing.T) {
	if _, err := ca.Load(t.TempDir()); !errors.Is(err, ca.ErrNone) {
		t.Errorf("none: %v", err)
	}
	for name, spoil := range map[string]func(path string) error{
		"read or written by others": func(p string) error { return os.Chmod(p, 0o640) },
		"no certificate":            func(p string) error { return os.WriteFile(p, []byte("nothing"), 0o600) },
		"plain file":                func(p string) error { return errors.Join(os.Remove(p), os.Mkdir(p, 0o700)) },
		"longer":                    func(p string) error { return os.WriteFile(p, make([]byte, 1<<20), 0o600) },
	} {
		a, folder := create(t)
		if err := spoil(a.Path()); err != nil {
			t.Fatal(err)
		}
		if _, err := ca.Load(folder); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Many processes that need one at the same time have the same one.
func TestOpenAtOnce(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "ca")
	var all sync.WaitGroup
	var mu sync.Mutex
	serials, makers := map[string]bool{}, 0
	for range 8 {
		all.Go(func() {
			a, made, err := ca.Open(folder)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
				return
			}
			serials[a.Certificate().SerialNumber.String()] = true
			if made {
				makers++
			}
		})
	}
	all.Wait()
	if len(serials) != 1 || makers != 1 {
		t.Errorf("%d authorities, made by %d", len(serials), makers)
	}
}

func TestLeaf(t *testing.T) {
	a, _ := create(t)
	roots := x509.NewCertPool()
	roots.AddCert(a.Certificate())
	verify := func(c *tls.Certificate, name string) error {
		_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name})
		return err
	}
	names := []string{"pay.test", "127.0.0.1", "::1"}
	c, err := a.Leaf(names, ca.Sound)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"pay.test", "127.0.0.1", "[::1]"} {
		if err := verify(c, n); err != nil {
			t.Errorf("%s: %v", n, err)
		}
	}
	if d := time.Until(c.Leaf.NotAfter); d > ca.LeafLifetime || d < ca.LeafLifetime/2 || time.Since(c.Leaf.NotBefore) < 30*time.Minute {
		t.Errorf("good from %s to %s", c.Leaf.NotBefore, c.Leaf.NotAfter)
	}
	if again, err := a.Leaf(names, ca.Sound); again != c {
		t.Errorf("made anew (%v)", err)
	}
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var unknown x509.UnknownAuthorityError
	for wrong, as := range map[ca.Wrong]any{ca.Expired: &invalid, ca.WrongName: &host, ca.Untrusted: &unknown} {
		c, err := a.Leaf(names, wrong)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(c, "pay.test"); !errors.As(err, as) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	if invalid.Reason != x509.Expired {
		t.Errorf("expired is invalid because of %d", invalid.Reason)
	}
	for _, names := range [][]string{nil, {"not ascii \u00e4"}} {
		if _, err := a.Leaf(names, ca.Sound); err == nil {
			t.Errorf("made one for %q", names)
		}
	}
	if _, err := a.Leaf(names, "rotten"); err == nil {
		t.Error("made a rotten one")
	}
	for i := range 1100 { // more than are kept
		if _, err := a.Leaf([]string{"n" + strings.Repeat("x", i%60) + ".test", "127.0.0.1"}, ca.Sound); err != nil {
			t.Fatal(err)
		}
	}
}
