package fault

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// Modifier narrows a fault. They apply in the order in which Modifiers lists them:
// each sees what those before it have left.
type Modifier struct {
	// Name as documents have it.
	Name string `json:"name"`
	// Doc says what it does.
	Doc string `json:"doc"`

	field int // of Fault
	takes func(*Kind) bool
	why   func(*Kind) string // why a kind does not take it
}

// Takes tells whether a kind takes the modifier.
func (m Modifier) Takes(k *Kind) bool { return m.takes(k) }

// Why says why a kind does not take it: "which hurts all or nothing".
func (m Modifier) Why(k *Kind) string { return m.why(k) }

// Type is the Go type of its value.
func (m Modifier) Type() reflect.Type { return reflect.TypeFor[Fault]().Field(m.field).Type }

// Modifiers are all there are, in the order in which they apply.
func Modifiers() []Modifier {
	onEdges := func(k *Kind) bool { return k.Acts == OnEdges }
	divisible := func(k *Kind) bool { return !k.NoShare }
	whole := func(*Kind) string { return "which hurts all or nothing" }
	place := func(k *Kind) string { return "which acts on " + string(k.Acts) }
	all := []Modifier{
		{Name: "match", takes: (*Kind).MatchesClients, why: whole},
		{Name: "after", takes: onEdges, why: place},
		{Name: "pulse", takes: func(k *Kind) bool { return k.Acts == OnEdges || k.Acts == OnNames }, why: place},
		{Name: "attempts", takes: func(k *Kind) bool { return k.MatchesRequests() && !k.NoShare }, why: func(k *Kind) string {
			if k.BytesOnly || k.DatagramsOnly || k.Acts == OnNames {
				return "which sees no requests"
			}
			return "which acts on whole " + unitWord(k)
		}},
		{Name: "share", takes: divisible, why: whole},
		{Name: "maxActive", takes: divisible, why: whole},
	}
	t := reflect.TypeFor[Fault]()
	for i := range all {
		for n := range t.NumField() {
			if name, _, _ := strings.Cut(t.Field(n).Tag.Get("json"), ","); name == all[i].Name {
				all[i].field, all[i].Doc = n, t.Field(n).Tag.Get("doc")
			}
		}
	}
	return all
}

// checkModifiers refuses those that the kind does not take. What match may say
// hangs on more and is checked apart.
func (f *Fault) checkModifiers(k *Kind) []error {
	var errs []error
	for _, m := range Modifiers() {
		if m.Name == "match" || m.Takes(k) || reflect.ValueOf(f).Elem().Field(m.field).IsZero() {
			continue
		}
		errs = append(errs, strict.Fieldf(m.Name, "does not go with %s, %s", k.Name, m.why(k)))
	}
	return errs
}

// When says in words when a fault hurts: its attempts, pulse and after, each with a
// comma before it; empty if it has none.
func (f *Fault) When() string {
	text := ""
	if f.Attempts != "" {
		text += fmt.Sprintf(", in attempt %s of each call", f.Attempts)
	}
	if p := f.Pulse; p != nil {
		text += fmt.Sprintf(", %s on and %s off in turn", p.On, p.Off)
		if p.Offset > 0 {
			text += fmt.Sprintf(" after %s", p.Offset)
		}
	}
	if a := f.After; a != nil {
		times := "once"
		if n := a.Number(); n > 1 {
			times = fmt.Sprintf("%d times", n)
		}
		text += fmt.Sprintf(", from when %s was called %s", a.Edge, times)
	}
	return text
}

// Always tells whether the fault hurts every unit from its arming to its lift.
func (f *Fault) Always() bool {
	return f.Match == nil && f.Share.Of() == 1 && f.MaxActive == 0 && f.Attempts == "" && f.Pulse == nil && f.After == nil
}
