package experiment_test

import (
	"strings"
	"testing"

	"github.com/chaosctl/chaosctl/experiment"
)

func TestExpandEnv(t *testing.T) {
	value := func(name string) string { return "<" + name + ">" }
	for in, want := range map[string]string{
		"":                          "",
		"plain":                     "plain",
		"${env:A}":                  "<A>",
		"Bearer ${env:_a1}!":        "Bearer <_a1>!",
		"${env:A}${env:B}":          "<A><B>",
		"$${env:A}":                 "$<A>",
		"${A} $env:A ${ENV:A} {} }": "${A} $env:A ${ENV:A} {} }",
	} {
		if got, err := experiment.ExpandEnv(in, value); got != want || err != nil {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"${env:}":              "names no variable",
		"${env:BAD-NAME}":      "not `${env:BAD-NAME}`",
		"${env:a.b}":           "not `${env:a.b}`",
		"${env:1A}":            "no digit in front",
		"${env:X":              "the } right behind `${env:X` is missing",
		"${env:X s3cret}":      "the } right behind `${env:X` is missing",
		"${env:X\": \"s3cret}": "the } right behind `${env:X` is missing",
		"${env:":               "is missing",
		"${env:ü}":             "is missing",
		"${env:${env:A}}":      "is missing",
		"${env:A} ${env:B":     "the } right behind `${env:B` is missing",
	} {
		got, err := experiment.ExpandEnv(in, value)
		if err == nil || got != "" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "form ${env:NAME}") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: got %q, %v; want %q", in, got, err, want)
		}
	}
}
