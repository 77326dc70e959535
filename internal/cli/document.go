package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// documentFlags name an experiment and change it on the way in.
type documentFlags struct {
	file              string
	set               []string
	allowProduction   bool
	allowIrreversible bool
}

func (d *documentFlags) register(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVarP(&d.file, "file", "f", "", "the experiment's `file`, instead of the argument; - is stdin")
	fs.StringArrayVar(&d.set, "set", nil, "change a value of the experiment, `path=value`, such as spec.seed=7; repeatable")
	fs.BoolVar(&d.allowProduction, "allow-production", false, "permit to hurt a topology whose environment is production")
	fs.BoolVar(&d.allowIrreversible, "allow-irreversible", false, "permit kinds that nothing can undo")
	_ = cmd.MarkFlagFilename("file", "yaml", "yml", "json")
	cmd.Args = arguments(0, 1, "one experiment")
	cmd.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return []string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt
	}
}

// request reads the experiment and, when it refers to a topology by file, that
// file, too: whoever runs it opens no path that a document names. served is the
// topology of the server that will run it, nil without one. Every mistake of
// all documents is found here, with the names of their files.
func (d *documentFlags) request(a *app, cmd *cobra.Command, args []string, served *experiment.Topology) (experiment.RunRequest, *experiment.Topology, error) {
	file := d.file
	switch {
	case file != "" && len(args) > 0:
		return experiment.RunRequest{}, nil, badInput("", "the experiment is given twice: as an argument and with --file")
	case file == "" && len(args) == 0:
		return experiment.RunRequest{}, nil, badInput("for example: "+cmd.CommandPath()+" experiment.yaml", "%s needs an experiment", nameOf(cmd))
	case file == "":
		file = args[0]
	}
	data, name, err := a.readDocument(file)
	if err != nil {
		return experiment.RunRequest{}, nil, err
	}
	in := experiment.Input{File: name, Data: data, Set: d.set, Server: served, Read: func(path string) ([]byte, error) {
		top, _, err := a.readDocument(path)
		return top, err
	}}
	loaded, err := experiment.Load(in)
	if err != nil {
		return experiment.RunRequest{}, nil, err
	}
	return experiment.RunRequest{
		File: name, Document: string(data), Topology: string(loaded.TopologyText), Set: d.set,
		AllowProduction: d.allowProduction, AllowIrreversible: d.allowIrreversible, Actor: a.actor(),
	}, loaded.Topology, nil
}

// readDocument reads a document whole; - is stdin. One that is too large for
// any decoder is refused before it is in memory.
func (a *app) readDocument(file string) (data []byte, name string, err error) {
	r, name := a.env.Stdin, file
	if file == "-" {
		name = "stdin"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return nil, name, fileProblem(file, err)
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil && info.IsDir() {
			return nil, name, experiment.Problems{{File: file, Message: "is a folder; a file is expected"}}
		} else if err == nil && info.Mode().IsRegular() && info.Size() > strict.MaxBytes {
			return nil, name, experiment.Problems{{File: file, Message: fmt.Sprintf("is %d bytes long; the limit is %d bytes (1 MiB)", info.Size(), strict.MaxBytes)}}
		}
		r = f
	}
	if r == nil {
		return nil, name, badInput("", "there is no standard input")
	}
	data, err = io.ReadAll(io.LimitReader(r, strict.MaxBytes+1))
	if err != nil {
		return nil, name, fileProblem(file, err)
	}
	if len(data) > strict.MaxBytes {
		return nil, name, experiment.Problems{{File: name, Message: fmt.Sprintf("is longer than the limit of %d bytes (1 MiB)", strict.MaxBytes)}}
	}
	return data, name, nil
}

func fileProblem(file string, err error) error {
	why := err.Error()
	var pe *fs.PathError
	if errors.As(err, &pe) {
		why = pe.Err.Error()
	}
	return experiment.Problems{{File: file, Message: "cannot be read: " + why}}
}
