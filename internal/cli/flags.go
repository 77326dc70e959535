package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

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
