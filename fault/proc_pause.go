package fault

// ProcPause stops processes and lets them go on.
var ProcPause = define("proc.pause",
	"Pause a service's processes (SIGSTOP) and resume them at the lift (SIGCONT).",
	Pause{},
	`
kind: proc.pause
target: {service: db-service}
`, Kind{
		Acts:    OnProcesses,
		Grounds: []string{"host"},
		NoShare: true,
		Details: `The service must say where its process is: at: {pid: 812}. A process that is stopped already is left alone. Needs the right to signal the process: its user, or root.`,
	})

// Pause are the params of proc.pause.
type Pause struct{}

// Validate has nothing to refuse.
func (p *Pause) Validate() error { return nil }
