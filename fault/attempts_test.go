package fault

import (
	"strings"
	"testing"
	"time"
)

func TestAttempts(t *testing.T) {
	for text, want := range map[string]string{ // the tries from 1 to 9 that are hurt
		"1": "1", "1-2": "12", "3-": "3456789", "2,4-5": "245", " 1 , 3 - 4 ": "134", "1-1": "1", "2-3,9-": "239", "": "123456789",
	} {
		var a Attempts
		if text != "" {
			if err := a.UnmarshalText([]byte(text)); err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
		}
		got := ""
		for n := 1; n <= 9; n++ {
			if a.Has(n) {
				got += string(rune('0' + n))
			}
		}
		if got != want || a.Validate() != nil {
			t.Errorf("%q: %q, not %q; %v", text, got, want, a.Validate())
		}
	}
	for _, text := range []string{"", "0", "-1", "2-1", "1,1", "3-,4", "1-2,2", "a", "1001", "1;2", "1--2", "+1", "1.5", "-", strings.Repeat("1,", 30), "1-1001"} {
		a := Attempts("7")
		if err := a.UnmarshalText([]byte(text)); err == nil || a != "7" || text != "" && Attempts(text).Validate() == nil {
			t.Errorf("%q was taken as %q", text, a)
		}
	}
}

// FuzzAttempts: what is read can be written and read again, and means the same.
func FuzzAttempts(f *testing.F) {
	for _, s := range []string{"1", "1-2", "3-", "2,4-5", "1,", "9-3", "1 - 2", ""} {
		f.Add(s, 3)
	}
	f.Fuzz(func(t *testing.T, text string, n int) {
		var a, b Attempts
		if a.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := b.UnmarshalText([]byte(a)); err != nil || a != b || a == "" {
			t.Fatalf("%q became %q, then %q, %v", text, a, b, err)
		}
		if a.Has(n) != Attempts(text).Has(n) || a.Has(0) {
			t.Errorf("%q and %q differ on %d", text, a, n)
		}
	})
}

func TestPulseIsOn(t *testing.T) {
	p := &Pulse{On: 10, Off: 5, Offset: 2}
	for at, on := range map[int]bool{0: false, 1: false, 2: true, 11: true, 12: false, 16: false, 17: true, 26: true, 27: false} {
		if p.IsOn(time.Duration(at)) != on {
			t.Errorf("at %d: %t", at, !on)
		}
	}
	var always *Pulse
	if !always.IsOn(0) {
		t.Error("without a pulse it is always on")
	}
}

// Each modifier says of each kind whether it takes it, and Fault.Validate agrees.
func TestModifiers(t *testing.T) {
	for _, m := range Modifiers() {
		if m.Doc == "" || m.Name == "" {
			t.Errorf("%+v has no doc", m)
		}
	}
	for _, k := range Kinds() {
		for _, c := range []struct {
			name string
			set  func(*Fault)
		}{
			{"attempts", func(f *Fault) { f.Attempts = "1" }},
			{"pulse", func(f *Fault) { f.Pulse = &Pulse{On: minPhase, Off: minPhase} }},
			{"after", func(f *Fault) { f.After = &After{Edge: "a -> b"} }},
			{"share", func(f *Fault) { f.Share = 0.5 }},
			{"maxActive", func(f *Fault) { f.MaxActive = 1 }},
		} {
			f := Fault{Kind: k.Name}
			c.set(&f)
			err := f.Validate()
			for _, m := range Modifiers() {
				if m.Name != c.name {
					continue
				}
				if refused := err != nil && strings.Contains(err.Error(), c.name+": does not go with"); refused == m.Takes(k) {
					t.Errorf("%s of %s: %v", c.name, k.Name, err)
				}
			}
		}
	}
	for _, c := range []struct{ kind, modifier string }{{"net.refuse", "attempts"}, {"net.kill", "attempts"}, {"proc.pause", "pulse"}, {"proc.pause", "after"}} {
		k, err := Lookup(c.kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range Modifiers() {
			if m.Name == c.modifier && m.Takes(k) {
				t.Errorf("%s takes %s", c.kind, c.modifier)
			}
		}
	}
}
