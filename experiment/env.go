package experiment

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/chaosctl/chaosctl/internal/strict"
)

// openEnv begins a reference to an environment variable.
const openEnv = "${env:"

// ExpandEnv replaces each reference ${env:NAME} of a text by value(NAME). A NAME
// is letters, digits and underscores, and starts with no digit. What begins like
// a reference and is none is an error, which quotes nothing but the would-be
// name: a text may hold secrets.
func ExpandEnv(text string, value func(name string) string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, openEnv)
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		// Dashes and dots are read as part of the name, so that they are named.
		tail := strings.TrimLeft(rest, letters+digits+"_-.")
		name := rest[:len(rest)-len(tail)]
		after, closed := strings.CutPrefix(tail, "}")
		switch {
		case !closed:
			return "", fmt.Errorf("a reference must have the form ${env:NAME}; the } right behind `%s%s` is missing", openEnv, strict.Clip(name))
		case name == "":
			return "", errors.New("a reference must have the form ${env:NAME}; `${env:}` names no variable")
		case strings.ContainsAny(name, "-.") || strings.Contains(digits, name[:1]):
			return "", fmt.Errorf("a reference must have the form ${env:NAME}, with letters, digits and _ and no digit in front, not `%s%s}`", openEnv, strict.Clip(name))
		}
		out.WriteString(value(name))
		text = after
	}
}

const (
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// notExpanded refuses a reference where none is filled in; it would be used as
// it stands.
func notExpanded(s string) error {
	if !strings.Contains(s, openEnv) {
		return nil
	}
	return errors.New("${env:NAME} works in headers and body only, of a flow or an http probe; write the value itself, or give it with --set")
}

// checkEnv checks the references in every text of a decoded value: their form
// where they are filled in, in the fields with the tag `env:"expanded"`;
// everywhere else there may be none.
func checkEnv(v any) error {
	var errs []error
	eachText(reflect.ValueOf(v), "", false, func(path, text string, expanded bool) {
		err := notExpanded(text)
		if expanded {
			_, err = ExpandEnv(text, func(string) string { return "" })
		}
		if err != nil {
			errs = append(errs, at(path, err))
		}
	})
	return errors.Join(errs...)
}

// eachText visits the texts of a value, keys included, with their paths.
func eachText(v reflect.Value, path string, expanded bool, visit func(path, text string, expanded bool)) {
	switch v.Kind() {
	case reflect.String:
		visit(path, v.String(), expanded)
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			eachText(v.Elem(), path, expanded, visit)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachText(v.Index(i), fmt.Sprintf("%s[%d]", path, i), expanded, visit)
		}
	case reflect.Map:
		keys := map[string]reflect.Value{}
		for _, k := range v.MapKeys() {
			keys[fmt.Sprint(k)] = k
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			visit(below(path, k), k, false)
			eachText(v.MapIndex(keys[k]), below(path, k), expanded, visit)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
				eachText(v.Field(i), below(path, name), f.Tag.Get("env") == "expanded", visit)
			}
		}
	}
}

func below(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
