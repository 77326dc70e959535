//go:build linux

package compat

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// toxiproxy is the package of the original.
const toxiproxy = "github.com/Shopify/toxiproxy/v2"

// programs are the things under test.
type programs struct {
	original, cli, chaosctl string
	// own is the original's module with the stub in it, its tests built.
	own string
	// self: the original stands in for chaosctl, and nothing may differ.
	self bool
}

var built programs

// in sets the places of what build has made.
func (p *programs) in(dir string) {
	p.original, p.cli, p.own = filepath.Join(dir, "server"), filepath.Join(dir, "cli"), filepath.Join(dir, "own")
	p.self = os.Getenv("COMPAT_SELF") != ""
	if p.chaosctl = os.Getenv("CHAOSCTL_BIN"); p.chaosctl == "" {
		p.chaosctl = filepath.Join(dir, "chaosctl")
	}
}

// build makes the programs, in dir, and fetches the client for Node. It is the
// only part that needs a network, for modules and a package that are not in
// their caches yet.
func build(dir string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	built.in(dir)
	// Its releases name their version when they are linked, and so do we.
	err := tool(ctx, ".", "go", "build", "-trimpath", "-ldflags", "-X "+toxiproxy+".Version=2.12.0", "-o", dir, toxiproxy+"/cmd/server", toxiproxy+"/cmd/cli")
	if err != nil {
		return err
	}
	if !built.self {
		if _, err := os.Stat(built.chaosctl); err != nil {
			if os.Getenv("CHAOSCTL_BIN") != "" {
				return fmt.Errorf("CHAOSCTL_BIN: %w", err)
			}
			if err := tool(ctx, filepath.Join("..", ".."), "go", "build", "-trimpath", "-o", built.chaosctl, "./cmd/chaosctl"); err != nil {
				return err
			}
		}
	}
	if err := buildOwn(ctx); err != nil {
		return err
	}
	return nodeClient(ctx)
}

// tool runs a program that builds or fetches.
func tool(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s in %s: %w\n%s", name, strings.Join(args, " "), dir, err, out)
	}
	return nil
}

// own are the test files of the original that ask a server or a proxy. They are
// taken as they are; the package they test is replaced by a stub that hands all
// they do to a server process. What they ask of the inner parts of the original
// (links, chunks, metrics containers) nobody else has to answer.
var own = map[string][]string{
	".":      {"api_test.go", "proxy_test.go", "toxiproxy_test.go"},
	"toxics": nil, // all of them
}

// buildOwn lays the original's module out with the stub in it, and builds its
// tests.
func buildOwn(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", toxiproxy).Output()
	if err != nil {
		return fmt.Errorf("where is %s: %w", toxiproxy, err)
	}
	from := strings.TrimSpace(string(out))
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(built.own, rel), 0o755)
		}
		if keep, known := own[filepath.Dir(rel)]; known && keep != nil && strings.HasSuffix(rel, ".go") && !slices.Contains(keep, rel) {
			return nil // replaced by the stub
		}
		return copyFile(path, filepath.Join(built.own, rel))
	})
	if err != nil {
		return err
	}
	if err := copyFile(filepath.Join("testdata", "stub", "stub.go"), filepath.Join(built.own, "stub.go")); err != nil {
		return err
	}
	for pkg := range own {
		if err := tool(ctx, built.own, "go", "test", "-trimpath", "-c", "-o", filepath.Join(pkg, "own.test"), "./"+pkg); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	text, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, text, 0o644)
}

// nodeDir is where the client for Node is, once per lock file, beside the other
// tools that are fetched.
func nodeDir() (string, error) {
	lock, err := os.ReadFile(filepath.Join("testdata", "node", "package-lock.json"))
	if err != nil {
		return "", err
	}
	return filepath.Abs(filepath.Join("..", "..", "bin", "tools", fmt.Sprintf("toxiproxy-node-client-%.6x", sha256.Sum256(lock))))
}

// nodeClient installs the package with npm if it is not there. Without npm it
// does nothing: the test says so.
func nodeClient(ctx context.Context) error {
	dir, err := nodeDir()
	if err != nil {
		return err
	}
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	npm, err := exec.LookPath("npm")
	if errors.Is(err, exec.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	fresh, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(fresh)
	for _, f := range []string{"package.json", "package-lock.json"} {
		if err := copyFile(filepath.Join("testdata", "node", f), filepath.Join(fresh, f)); err != nil {
			return err
		}
	}
	if err := tool(ctx, fresh, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"); err != nil {
		return err
	}
	err = os.Rename(fresh, dir)
	if _, serr := os.Stat(dir); serr == nil {
		return nil // another run was quicker
	}
	return err
}
