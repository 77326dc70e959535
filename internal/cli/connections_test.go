package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

func TestCloseFlags(t *testing.T) {
	for _, tt := range []struct {
		f    closeFlags
		args []string
		want []uint64
		says string
	}{
		{closeFlags{}, []string{"3", "1", "3"}, []uint64{3, 1}, ""},
		{closeFlags{all: true, edge: "a -> b"}, nil, nil, ""},
		{closeFlags{}, nil, nil, "needs the id"},
		{closeFlags{all: true}, nil, nil, "--all needs --edge"},
		{closeFlags{all: true, edge: "a -> b"}, []string{"1"}, nil, "leave the ids out"},
		{closeFlags{edge: "a -> b"}, []string{"1"}, nil, "goes with --all"},
		{closeFlags{}, []string{"f-abc"}, nil, `not "f-abc"`},
		{closeFlags{}, []string{""}, nil, `not ""`},
		{closeFlags{}, []string{"-1"}, nil, `not "-1"`},
	} {
		ids, err := tt.f.check(tt.args)
		if e, _ := experiment.AsError(err); (tt.says == "") != (err == nil) || err != nil && (e == nil || e.Code != experiment.BadInput || !strings.Contains(err.Error(), tt.says)) {
			t.Errorf("%+v %q: %v", tt.f, tt.args, err)
		}
		if !slices.Equal(ids, tt.want) {
			t.Errorf("%+v %q: %v", tt.f, tt.args, ids)
		}
	}
}

func TestVolume(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1234: "1.2 kB", 999_949: "999.9 kB", 999_950: "1.0 MB", 1_500_000_000: "1.5 GB", 1<<64 - 1: "18446.7 PB",
	} {
		if got := volume(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
