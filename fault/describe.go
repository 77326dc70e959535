package fault

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Description is a kind as the API and `chaosctl explain -o json` show it.
type Description struct {
	Name    string `json:"name"`
	Doc     string `json:"doc" doc:"one sentence"`
	Details string `json:"details,omitempty"`
	// Acts says what a target of the kind resolves to.
	Acts Acts `json:"acts" doc:"edges, processes or names"`
	// Grounds on which it can be injected.
	Grounds          []string `json:"grounds"`
	Params           []Param  `json:"params"`
	Flags            []Flag   `json:"flags"`
	HTTPOnly         bool     `json:"httpOnly,omitempty" doc:"needs an edge that sees requests"`
	BytesOnly        bool     `json:"bytesOnly,omitempty" doc:"needs an edge that passes bytes as they come"`
	Datagrams        bool     `json:"datagrams,omitempty" doc:"acts on the datagrams of udp edges, too"`
	DatagramsOnly    bool     `json:"datagramsOnly,omitempty" doc:"needs an edge that passes datagrams"`
	TLSOnly          bool     `json:"tlsOnly,omitempty" doc:"needs an edge that sees TLS handshakes"`
	Emulated         string   `json:"emulated,omitempty" doc:"on edges other than udp ones it is only imitated: why, and how"`
	WholeConnections bool     `json:"wholeConnections,omitempty" doc:"acts on connections, so its match takes client alone"`
	AllCallers       bool     `json:"allCallers,omitempty" doc:"acts before a caller is known, so it takes no match"`
	NoShare          bool     `json:"noShare,omitempty" doc:"hurts all or nothing, so it takes neither share nor maxActive"`
	Irreversible     bool     `json:"irreversible,omitempty" doc:"nothing undoes it; needs an explicit permission"`
	Example          string   `json:"example" doc:"one fault, in YAML"`
}

// Param is one setting of a kind.
type Param struct {
	Name string `json:"name"`
	// Type is how it is written: duration, size, rate, share, text, integer,
	// number, yes/no, list or mapping.
	Type string `json:"type" doc:"duration, size, rate, share, text, integer, number, yes/no, list or mapping"`
	Doc  string `json:"doc,omitempty"`
	// Default as it would be written; empty if there is none.
	Default string `json:"default,omitempty"`
	// Values are all that are allowed, if they are few.
	Values   []string `json:"values,omitempty"`
	Required bool     `json:"required,omitempty"`
}

// Describe sums up all there is to know of a kind.
func (k *Kind) Describe() Description {
	return Description{
		Name: k.Name, Doc: k.Doc, Details: k.Details, Acts: k.Acts,
		Grounds: append([]string{}, k.Grounds...), Params: k.describeParams(), Flags: append([]Flag{}, k.Flags...),
		HTTPOnly: k.HTTPOnly, BytesOnly: k.BytesOnly, Datagrams: k.Datagrams, DatagramsOnly: k.DatagramsOnly, TLSOnly: k.TLSOnly, Emulated: k.Emulated,
		WholeConnections: k.WholeConnections, AllCallers: k.AllCallers, NoShare: k.NoShare,
		Irreversible: k.Irreversible, Example: k.Example,
	}
}

// describeParams reads the params' struct: a field without omitempty and
// without a default must be given.
func (k *Kind) describeParams() []Param {
	v := reflect.Indirect(reflect.ValueOf(k.New()))
	params := []Param{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "" || name == "-" {
			continue
		}
		p := Param{Name: name, Type: wordFor(f.Type), Doc: f.Tag.Get("doc")}
		if values := f.Tag.Get("enum"); values != "" {
			p.Values = strings.Split(values, ",")
		} else if few, ok := v.Field(i).Interface().(interface{ Values() []string }); ok {
			p.Values = slices.Clone(few.Values())
		}
		if value := v.Field(i); !value.IsZero() {
			p.Default = written(value)
		} else {
			p.Required = !strings.Contains(options, "omit")
		}
		params = append(params, p)
	}
	return params
}

func wordFor(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t {
	case reflect.TypeFor[Duration]():
		return "duration"
	case reflect.TypeFor[Size]():
		return "size"
	case reflect.TypeFor[Rate]():
		return "rate"
	case reflect.TypeFor[Share](), reflect.TypeFor[Chance]():
		return "share"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "yes/no"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "list"
	case reflect.Map, reflect.Struct:
		return "mapping"
	case reflect.String:
		return "text"
	}
	return "integer"
}

func written(v reflect.Value) string {
	v = reflect.Indirect(v)
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(v.Interface())
}
