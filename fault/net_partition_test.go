package fault

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

func members(n int) []string {
	var m []string
	for i := range n {
		m = append(m, fmt.Sprintf("s%d", i))
	}
	return m
}

// hears says for each member whom it still hears, itself included.
func hears(m []string, cuts [][2]string) map[string][]string {
	cut := map[[2]string]bool{}
	for _, c := range cuts {
		cut[c] = true
	}
	sees := map[string][]string{}
	for _, a := range m {
		for _, b := range m {
			if a == b || !cut[[2]string{b, a}] {
				sees[a] = append(sees[a], b)
			}
		}
	}
	return sees
}

func TestMajorityRing(t *testing.T) {
	for n := 3; n <= 12; n++ {
		for seed := range uint64(20) {
			p := &Partition{Direction: CutBoth, Mode: CutDrop, Shape: "majority-ring", Among: members(n)}
			if err := p.Validate(); err != nil {
				t.Fatal(err)
			}
			cuts := p.Cuts(seed)
			if len(cuts) == 0 {
				t.Fatalf("n=%d: nothing is cut", n)
			}
			sets := map[string]string{}
			for who, whom := range hears(p.Among, cuts) {
				if len(whom) != n/2+1 {
					t.Errorf("n=%d seed %d: %s hears %v, not just a majority", n, seed, who, whom)
				}
				key := strings.Join(whom, " ")
				if other, twice := sets[key]; twice {
					t.Errorf("n=%d seed %d: %s and %s hear the same %s", n, seed, who, other, key)
				}
				sets[key] = who
			}
		}
	}
}

// TestRingThatIsEven: with reject, an edge that is cut is cut both ways, so only
// rings that are even on both sides allow it.
func TestRingThatIsEven(t *testing.T) {
	for n := 3; n <= 12; n++ {
		p := &Partition{Direction: CutBoth, Mode: CutReject, Shape: "majority-ring", Among: members(n)}
		pairs := map[[2]string]bool{}
		for _, c := range p.Cuts(1) {
			pairs[c] = true
		}
		even := true
		for c := range pairs {
			even = even && pairs[[2]string{c[1], c[0]}]
		}
		if (p.Validate() == nil) != even {
			t.Errorf("n=%d: even is %v, but Validate says %v", n, even, p.Validate())
		}
	}
}

func TestShapes(t *testing.T) {
	cuts := func(shape string, n int, seed uint64) map[[2]string]bool {
		p := &Partition{Direction: CutBoth, Mode: CutDrop, Shape: shape, Among: members(n)}
		if err := p.Validate(); err != nil {
			t.Fatal(err)
		}
		set := map[[2]string]bool{}
		for _, c := range p.Cuts(seed) {
			if c[0] == c[1] || set[c] {
				t.Errorf("%s of %d: pair %v", shape, n, c)
			}
			set[c] = true
		}
		if !maps.Equal(set, func() map[[2]string]bool {
			again := map[[2]string]bool{}
			for _, c := range p.Cuts(seed) {
				again[c] = true
			}
			return again
		}()) {
			t.Errorf("%s of %d: two draws with one seed differ", shape, n)
		}
		return set
	}
	// islands are the sizes of the groups that still hear each other.
	islands := func(n int, set map[[2]string]bool) []int {
		groups := map[string]int{}
		for _, whom := range hears(members(n), slices.Collect(maps.Keys(set))) {
			groups[strings.Join(whom, " ")] = len(whom)
		}
		return slices.Sorted(maps.Values(groups))
	}
	for n := 2; n <= 9; n++ {
		for seed := range uint64(10) {
			if got := islands(n, cuts("one", n, seed)); n > 2 && !slices.Equal(got, []int{1, n - 1}) {
				t.Errorf("one of %d: %v", n, got)
			}
			for _, shape := range []string{"halves", "random-halves"} {
				if got := islands(n, cuts(shape, n, seed)); !slices.Equal(got, []int{n / 2, n - n/2}) {
					t.Errorf("%s of %d: %v", shape, n, got)
				}
			}
			if set := cuts("one-way", n, seed); len(set) != n-1 || !set[[2]string{"s0", "s1"}] || set[[2]string{"s1", "s0"}] {
				t.Errorf("one-way of %d: %v", n, set)
			}
			if n < 3 {
				continue
			}
			bridges := 0
			for _, whom := range hears(members(n), slices.Collect(maps.Keys(cuts("bridge", n, seed)))) {
				if len(whom) == n {
					bridges++
				}
			}
			if bridges != 1 {
				t.Errorf("bridge of %d: %d members hear all", n, bridges)
			}
		}
	}
	if maps.Equal(cuts("halves", 6, 1), cuts("random-halves", 6, 1)) && maps.Equal(cuts("random-halves", 6, 1), cuts("random-halves", 6, 2)) {
		t.Error("random-halves does not hang on the seed")
	}
	if (&Partition{}).Cuts(1) != nil {
		t.Error("no shape, but cuts")
	}
}

func TestPartitionAlong(t *testing.T) {
	for _, tt := range []struct {
		direction         string
		forward           bool
		request, response bool
	}{
		{CutBoth, true, true, true}, {CutBoth, false, true, true}, {CutTo, true, true, false}, {CutTo, false, false, true}, {CutFrom, true, false, true}, {CutFrom, false, true, false},
	} {
		p := &Partition{Direction: tt.direction, Mode: CutDrop}
		request, response := p.Along(tt.forward).(*Partition).Stops()
		if request != tt.request || response != tt.response || p.Direction != tt.direction {
			t.Errorf("%+v: stops %v, %v", tt, request, response)
		}
	}
	p := &Partition{Direction: CutBoth, Mode: CutDrop, Shape: "one", Among: []string{"a", "b"}}
	for _, tt := range [][2]bool{{true, true}, {true, false}, {false, true}} {
		q := p.Cut(tt[0], tt[1]).(*Partition)
		if request, response := q.Stops(); request != tt[0] || response != tt[1] || q.Shape != "" || q.Validate() != nil {
			t.Errorf("%v: stops %v, %v: %+v", tt, request, response, q)
		}
	}
}

func TestPartitionRefuses(t *testing.T) {
	for want, p := range map[string]Partition{
		"direction: must be to, from or both":                           {Direction: "up", Mode: CutDrop},
		"mode: must be drop or reject":                                  {Direction: CutBoth, Mode: "x"},
		"reject has no direction":                                       {Direction: CutTo, Mode: CutReject},
		"among: goes with a shape; there are: one, halves":              {Direction: CutBoth, Mode: CutDrop, Among: []string{"a"}},
		"did you mean `halves`?":                                        {Direction: CutBoth, Mode: CutDrop, Shape: "halvs", Among: []string{"a", "b"}},
		"among: must name 3 members or more for the shape bridge":       {Direction: CutBoth, Mode: CutDrop, Shape: "bridge", Among: []string{"a", "b"}},
		"among: names a member twice":                                   {Direction: CutBoth, Mode: CutDrop, Shape: "one", Among: []string{"a", "a"}},
		"mode: reject has no direction, so it does not go with one-way": {Direction: CutBoth, Mode: CutReject, Shape: "one-way", Among: []string{"a", "b"}},
		"direction: is chosen by the shape":                             {Direction: CutTo, Mode: CutDrop, Shape: "one", Among: []string{"a", "b"}},
	} {
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %s", p, err, want)
		}
	}
}
