package shop

import (
	_ "embed"
	"strings"
)

// The documents as they stand beside this file, with the ports of [Fixed].
var (
	//go:embed topology.yaml
	topologyYAML string
	//go:embed survives-slow-auth.yaml
	survivesYAML string
	//go:embed falls-without-db.yaml
	fallsYAML string
)

// Documents returns the topology and the two experiments of the demo for a shop
// at other addresses, keyed by service for a listener and by edge for its relay
// ("api-service -> auth-service"). What addresses leaves out keeps its fixed
// port. The experiments refer to the topology as topology.yaml.
func Documents(addresses map[string]string) (topology, survives, falls []byte) {
	var pairs []string
	for name, at := range fixed() {
		if now, ok := addresses[name]; ok {
			pairs = append(pairs, at, now)
		}
	}
	r := strings.NewReplacer(pairs...)
	return []byte(r.Replace(topologyYAML)), []byte(r.Replace(survivesYAML)), []byte(r.Replace(fallsYAML))
}
