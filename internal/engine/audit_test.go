package engine

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAuditLines(t *testing.T) {
	t.Parallel()
	a := &audit{path: filepath.Join(t.TempDir(), "state", "audit.log")}
	a.write("inject", "f-1", "ann", "net.latency on a -> b", nil)
	a.write("stuck", "f-1", "ann", "net.latency on a -> b", errors.New("no way\nback"))
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(a.path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), b)
	}
	var l auditLine
	if err := json.Unmarshal([]byte(lines[1]), &l); err != nil || l.Actor != "ann" || l.Problem != "no way\nback" {
		t.Errorf("%+v %v", l, err)
	}
}

// The log is set aside when it has grown, and goes on.
func TestAuditIsBounded(t *testing.T) {
	t.Parallel()
	a := &audit{path: filepath.Join(t.TempDir(), "audit.log")}
	a.write("inject", "f-1", "ann", "", nil)
	a.size = maxAudit
	a.write("inject", "f-2", "ann", "", nil)
	a.write("inject", "f-3", "ann", "", nil)
	if err := a.close(); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{a.path + ".1": "f-2", a.path: "f-3"} {
		if b, err := os.ReadFile(path); err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s %v", path, b, err)
		}
	}
}
