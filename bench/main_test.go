package main

import (
	"slices"
	"testing"
)

func TestFlags(t *testing.T) {
	o, err := parse(nil)
	if err != nil || o.rounds != 5 || o.quick || o.out != "." {
		t.Errorf("%+v, %v", o, err)
	}
	for _, part := range [][]string{{"-quick"}, {"-quick", "-only", "bulk"}, {"-quick", "-targets", "direct"}} {
		if o, err = parse(part); err != nil || o.rounds != 2 || o.out != "" {
			t.Errorf("%q: %+v, %v: part of a run must not replace the results of a whole one", part, o, err)
		}
	}
	for _, bad := range [][]string{{"-rounds", "-1"}, {"bulk"}, {"-nonsense"}} {
		if _, err := parse(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}

func TestChosen(t *testing.T) {
	known := []string{"a", "b", "c"}
	if got, err := chosen("only", "", known); err != nil || !slices.Equal(got, known) {
		t.Error(got, err)
	}
	if got, err := chosen("only", "c,a", known); err != nil || !slices.Equal(got, []string{"c", "a"}) {
		t.Error(got, err)
	}
	if _, err := chosen("only", "a,x", known); err == nil {
		t.Error("an unknown name is accepted")
	}
}
