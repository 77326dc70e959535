package experiment

// RunRequest asks for an experiment to be run or planned.
type RunRequest struct {
	// File names the document in messages.
	File string `json:"file,omitempty" doc:"names the document in messages"`
	// Document is the experiment, as YAML or JSON. A topology it refers to by a
	// file must have been put inline by the client: the server opens no path
	// that a document names.
	Document string `json:"document" doc:"the experiment as YAML or JSON"`
	// Topology is the topology document it refers to, empty if inline or the server's.
	Topology string `json:"topology,omitempty" doc:"the topology document it refers to by file, if it does"`
	// Set changes values before decoding: spec.seed=7, spec.steady.for=2s.
	Set []string `json:"set,omitempty" doc:"changes of values, path=value"`
	// AllowProduction, AllowIrreversible: explicit permissions.
	AllowProduction   bool `json:"allowProduction,omitempty"`
	AllowIrreversible bool `json:"allowIrreversible,omitempty"`
	// Detach keeps the run going when its client is gone; else a client silent
	// for 15 s aborts it.
	Detach bool   `json:"detach,omitempty" doc:"go on when the client is silent for 15 s"`
	Actor  string `json:"actor,omitempty" doc:"who asks, for the audit log"`
}
