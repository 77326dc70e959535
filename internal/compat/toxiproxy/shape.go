package toxiproxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// shape is what a body or a part of one must be, by an example.
type shape string

const (
	aProxy       shape = `{"name": "redis", "upstream": "127.0.0.1:6379"}`
	aProxyUpdate shape = `{"enabled": false}`
	aToxic       shape = `{"type": "latency", "attributes": {"latency": 100}}`
	aToxicUpdate shape = `{"attributes": {"latency": 100}}`
)

// decode reads the first JSON value of a body, as the original does: names in any
// case, unknown ones passed over, null for what is not given.
func decode(body []byte, into any, like shape) error {
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		return badBody(like.misfit(err))
	}
	return nil
}

// misfit says in words what a value of the wrong type must be; other mistakes in
// JSON stay as they are told.
func (like shape) misfit(err error) error {
	var wrong *json.UnmarshalTypeError
	if !errors.As(err, &wrong) {
		return err
	}
	given := wrong.Value
	if kind, _, ok := strings.Cut(given, " "); ok {
		given = kind // behind it stands the number
	}
	if word := inWords[given]; word != "" {
		given = word
	}
	name := wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:]
	if must := fields[name]; must != "" {
		return fmt.Errorf("%s must be %s, not %s", name, must, given)
	}
	if strings.HasPrefix(wrong.Type.String(), "[]") {
		return fmt.Errorf("must be a list such as [%s], not %s", like, given)
	}
	return fmt.Errorf("must be an object such as %s, not %s", like, given)
}

// inWords are the types of JSON.
var inWords = map[string]string{"array": "a list", "object": "an object", "string": "a text", "number": "a number", "bool": "a boolean"}

// fields are those of proxies and toxics that have a type of their own; attributes
// and toxicity are read by themselves.
var fields = map[string]string{
	"name": "a text", "listen": "a text", "upstream": "a text", "when_down": "a text", "type": "a text", "stream": "a text",
	"enabled": "true or false", "upstreams": `a list of addresses such as ["127.0.0.1:6379"]`, "client": `a list of addresses such as ["10.0.0.0/8"]`,
}
