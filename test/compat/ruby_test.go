//go:build linux

package compat

import (
	"os"
	"os/exec"
	"testing"
)

// TestRubyClient sends what the toxiproxy gem sends, with Debian's Ruby. The gem
// itself is not in Debian and its server is out of reach: the script has its
// requests, not its code.
func TestRubyClient(t *testing.T) {
	ruby := need(t, "ruby", "ruby")
	up := echo(t)
	for i, s := range pair(t) {
		t.Run(string([]side{original, ours}[i]), func(t *testing.T) {
			t.Parallel()
			cmd := exec.Command(ruby, "testdata/ruby/client.rb")
			cmd.Env = append(os.Environ(), "TOXIPROXY_URL=http://"+s.addr, "ECHO="+up)
			results(t, "Ruby, as the toxiproxy gem", cmd, 16)
		})
	}
}
