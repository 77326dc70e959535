package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/chaosctl/chaosctl/fault"
)

// durationFlag reads a duration with the rules of documents.
type durationFlag struct {
	value fault.Duration
	set   bool
}

func (f *durationFlag) Set(s string) error {
	if err := f.value.UnmarshalText([]byte(s)); err != nil {
		return err
	}
	if f.value == 0 {
		return fmt.Errorf("must be more than 0")
	}
	f.set = true
	return nil
}

func (f *durationFlag) String() string {
	if !f.set {
		return ""
	}
	return f.value.String()
}

func (f *durationFlag) Type() string { return "duration" }

// mayBeEmpty annotates the flags whose empty value says no more and no less
// than leaving them out.
const mayBeEmpty = "chaosctl-may-be-empty"

// noneEmpty refuses flags that were given with nothing in them. `--path "$P"`
// with an unset P must not hurt every path.
func noneEmpty(fs *pflag.FlagSet) error {
	var errs []error
	fs.Visit(func(f *pflag.Flag) {
		if _, may := f.Annotations[mayBeEmpty]; may {
			return
		}
		empty := strings.TrimSpace(f.Value.String()) == ""
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values := list.GetSlice()
			empty = len(names(values)) == 0 || f.Value.Type() == "stringArray" && slices.ContainsFunc(values, func(s string) bool { return strings.TrimSpace(s) == "" })
		}
		if empty {
			errs = append(errs, badInput("give it a value, or leave it out", "--%s is empty", f.Name))
		}
	})
	return merge(errs)
}

// onceFlag is a flag of which the last one would win silently: it may be given
// again only with the same value.
type onceFlag struct {
	pflag.Value
	set bool
}

func (f *onceFlag) Set(s string) error {
	before := f.String()
	if err := f.Value.Set(s); err != nil {
		return err
	}
	if now := f.String(); f.set && now != before {
		return fmt.Errorf("is given twice: %s and %s", before, now)
	}
	f.set = true
	return nil
}

// once makes every flag of the set that is no list a onceFlag.
func once(fs *pflag.FlagSet) {
	fs.VisitAll(func(f *pflag.Flag) {
		if _, list := f.Value.(pflag.SliceValue); !list {
			f.Value = &onceFlag{Value: f.Value}
		}
	})
}

// seedFlag is a number that was given or not.
type seedFlag struct{ value *uint64 }

func (f *seedFlag) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return fmt.Errorf("must be a whole number from 0, not %q", s)
	}
	f.value = &n
	return nil
}

func (f *seedFlag) String() string {
	if f.value == nil {
		return ""
	}
	return strconv.FormatUint(*f.value, 10)
}

func (f *seedFlag) Type() string { return "N" }

// textFlag is a text whose help shows what stands for it.
type textFlag struct {
	value string
	word  string // shown in the help, for example D
}

func (f *textFlag) Set(s string) error { f.value = s; return nil }
func (f *textFlag) String() string     { return f.value }
func (f *textFlag) Type() string       { return f.word }

// pulseFlag is a pulse: ON/OFF or ON/OFF/OFFSET. What is wrong with the times, the
// decoder says.
type pulseFlag struct {
	text  string
	parts map[string]any // as in a document
}

func (f *pulseFlag) Set(s string) error {
	times := strings.Split(s, "/")
	if len(times) < 2 || len(times) > 3 {
		return fmt.Errorf("must be ON/OFF such as 5s/10s, or ON/OFF/OFFSET, not %q", s)
	}
	f.text, f.parts = s, map[string]any{}
	for i, t := range times {
		f.parts[[]string{"on", "off", "offset"}[i]] = strings.TrimSpace(t)
	}
	return nil
}

func (f *pulseFlag) String() string { return f.text }
func (f *pulseFlag) Type() string   { return "ON/OFF" }

// choiceFlag is one of a few words.
type choiceFlag struct {
	value string
	among []string
}

func (f *choiceFlag) Set(s string) error {
	if !slices.Contains(f.among, s) {
		return fmt.Errorf("must be %s, not %q", strings.Join(f.among, " or "), s)
	}
	f.value = s
	return nil
}

func (f *choiceFlag) String() string { return f.value }
func (f *choiceFlag) Type() string   { return strings.Join(f.among, "|") }
