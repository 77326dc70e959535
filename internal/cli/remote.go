package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/client"
	"github.com/chaosctl/chaosctl/experiment"
)

// defaultServer is where `serve` puts the API by default.
const (
	defaultAPI    = "127.0.0.1:8475"
	defaultServer = "http://" + defaultAPI
)

// remoteFlags say which server to speak to, and how.
type remoteFlags struct {
	server    string
	tokenFile string
}

// register adds --server and --token-file; without adds to the usage what
// happens when no server is named.
func (r *remoteFlags) register(cmd *cobra.Command, without string) {
	usage := "the server's `URL`; else $CHAOSCTL_SERVER, else " + defaultServer
	if without != "" {
		usage = "the server's `URL`; else $CHAOSCTL_SERVER, else " + without
	}
	cmd.Flags().StringVar(&r.server, "server", "", usage)
	r.registerToken(cmd, "the `file` that holds the server's token; else $CHAOSCTL_TOKEN_FILE")
}

func (r *remoteFlags) registerToken(cmd *cobra.Command, usage string) {
	cmd.Flags().StringVar(&r.tokenFile, "token-file", "", usage)
}

// serverURL is the server to speak to, and whether the user named one.
func (a *app) serverURL() (server string, told bool) {
	if a.remote.server != "" {
		return a.remote.server, true
	}
	if v, ok := a.env.Getenv("CHAOSCTL_SERVER"); ok && v != "" {
		return v, true
	}
	return defaultServer, false
}

// connect makes a client of the server. It sends nothing; Main closes it.
func (a *app) connect() (*client.Client, error) {
	server, _ := a.serverURL()
	token, err := a.token()
	if err != nil {
		return nil, err
	}
	opts := []client.Option{client.WithActor(a.actor())}
	if token != "" {
		opts = append(opts, client.WithToken(token))
	}
	c, err := client.New(server, opts...)
	if err != nil {
		return nil, err
	}
	a.clients = append(a.clients, c)
	return c, nil
}

// token reads the token file, if there is one; empty without.
func (a *app) token() (string, error) {
	file := a.remote.tokenFile
	if file == "" {
		file, _ = a.env.Getenv("CHAOSCTL_TOKEN_FILE")
	}
	if file == "" {
		return "", nil
	}
	info, err := os.Stat(file)
	if err != nil {
		return "", badInput("", "--token-file: %s", err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		a.say("warning: the token file %s can be read by others; make it yours alone: chmod 600 %s", file, file)
	}
	if info.Size() > 64<<10 || !info.Mode().IsRegular() {
		return "", badInput("", "--token-file: %s must be a plain file that holds one token", file)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return "", badInput("", "--token-file: %s", err)
	}
	token := strings.TrimSpace(string(b))
	if token == "" || strings.ContainsAny(token, " \r\n\t") {
		return "", badInput("", "--token-file: %s must hold one token on one line", file)
	}
	return token, nil
}

// remoteError adds what would help when no server answers.
func (a *app) remoteError(err error) error {
	e, ok := experiment.AsError(err)
	if !ok || e.Hint != "" {
		return err
	}
	server, _ := a.serverURL()
	more := *e
	switch e.Code {
	case experiment.Unavailable:
		more.Hint = fmt.Sprintf("start one with `chaosctl serve --topology FILE`, or name another than %s with --server", server)
	case experiment.Unauthorised:
		more.Hint = "name the file that holds the server's token with --token-file or CHAOSCTL_TOKEN_FILE"
	}
	return &more
}

// registerState adds --state-dir.
func (a *app) registerState(cmd *cobra.Command) {
	cmd.Flags().StringVar(&a.stateDir, "state-dir", "", "the `folder` for journals, runs and the audit log; else $CHAOSCTL_STATE_DIR, else ~/.local/state/chaosctl")
	_ = cmd.MarkFlagDirname("state-dir")
}

// state is the folder for journals, runs and the audit log.
func (a *app) state() (string, error) {
	if a.stateDir != "" {
		return filepath.Abs(a.stateDir)
	}
	get := func(name string) string { v, _ := a.env.Getenv(name); return v }
	switch {
	case get("CHAOSCTL_STATE_DIR") != "":
		return filepath.Abs(get("CHAOSCTL_STATE_DIR"))
	case filepath.IsAbs(get("XDG_STATE_HOME")):
		return filepath.Join(get("XDG_STATE_HOME"), "chaosctl"), nil
	case get("LOCALAPPDATA") != "" && runtime.GOOS == "windows":
		return filepath.Join(get("LOCALAPPDATA"), "chaosctl"), nil
	case get("HOME") != "":
		return filepath.Join(get("HOME"), ".local", "state", "chaosctl"), nil
	case get("USERPROFILE") != "":
		return filepath.Join(get("USERPROFILE"), ".local", "state", "chaosctl"), nil
	}
	return "", badInput("", "there is no place for state: set HOME or give --state-dir")
}
