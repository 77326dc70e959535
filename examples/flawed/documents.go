package flawed

import (
	"embed"
	"fmt"
	"strings"
)

//go:embed *.yaml
var documents embed.FS

// Document returns the experiment of a case, for a system at these addresses, by
// service and by edge; what they leave out keeps the port of [Case.Ports].
func Document(c Case, addresses map[string]string) ([]byte, error) {
	text, err := documents.ReadFile(c.Name + ".yaml")
	if err != nil {
		return nil, fmt.Errorf("the experiment of %s: %w", c.Name, err)
	}
	var pairs []string
	for name, at := range c.Ports() {
		if now, ok := addresses[name]; ok {
			pairs = append(pairs, at, now)
		}
	}
	return []byte(strings.NewReplacer(pairs...).Replace(string(text))), nil
}
