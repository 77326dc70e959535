package cli

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/chaosctl/chaosctl/experiment"
	"github.com/chaosctl/chaosctl/internal/ca"
	"github.com/chaosctl/chaosctl/internal/strict"
)

// caFolder is where the certificate authority stands in a state directory.
func caFolder(state string) string { return filepath.Join(state, "ca") }

func (a *app) caCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "The certificate authority of relays that answer TLS",
		Long: `Relays on edges with ` + "`tls`" + ` answer their callers by TLS. Their certificates are
signed by a certificate authority of your own, which callers have to trust. It is made
when it is first needed, and kept with its key in one file that nobody else may read.

Trust it in tests and on machines of your own only: whoever has its key can pose as
any server to those who do.`,
		Args: cobra.ArbitraryArgs,
		RunE: a.group("which one: init, show, path or export?"),
	}
	cmd.AddCommand(a.caInitCommand(), a.caShowCommand(), a.caPathCommand(), a.caExportCommand())
	return cmd
}

func (a *app) caInitCommand() *cobra.Command {
	var out string
	var force bool
	cmd := &cobra.Command{
		Use:     "init",
		Short:   "Make the certificate authority and say how to trust it",
		Example: "  chaosctl ca init --ca-out ca.pem",
		Args:    nothing,
		RunE: func(*cobra.Command, []string) error {
			folder, err := a.caFolder()
			if err != nil {
				return err
			}
			own, err := ca.Create(folder, force)
			if errors.Is(err, ca.ErrExists) {
				return badInput("`chaosctl ca show` says how to trust it; --force makes another one, which callers have to trust anew", "%s", err)
			}
			if err != nil {
				return err
			}
			if out != "" {
				if err := writeCertificate(out, own); err != nil {
					return err
				}
			}
			return a.showCA(own, out)
		},
	}
	cmd.Flags().StringVar(&out, "ca-out", "", "write the certificate, without the key, to this `file` as well")
	cmd.Flags().BoolVar(&force, "force", false, "replace the one that is there")
	a.registerState(cmd)
	return cmd
}

func (a *app) caShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show the certificate authority and how to trust it",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			own, err := a.loadCA()
			if err != nil {
				return err
			}
			return a.showCA(own, "")
		},
	}
	a.registerState(cmd)
	return cmd
}

func (a *app) caPathCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "path",
		Short: "Print the file that holds the certificate authority and its key",
		Args:  nothing,
		RunE: func(*cobra.Command, []string) error {
			own, err := a.loadCA()
			if err != nil {
				return err
			}
			if a.json() {
				return a.printJSON(map[string]string{"path": own.Path()})
			}
			a.printf("%s\n", own.Path())
			return a.written()
		},
	}
	a.registerState(cmd)
	return cmd
}

func (a *app) caExportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Write the certificate, without the key",
		Example: "  chaosctl ca export --out ca.pem",
		Args:    nothing,
		RunE: func(*cobra.Command, []string) error {
			own, err := a.loadCA()
			if err != nil {
				return err
			}
			if out != "" && out != "-" {
				return writeCertificate(out, own)
			}
			a.printf("%s", own.PEM())
			return a.written()
		},
	}
	cmd.Flags().StringVar(&out, "out", "-", "the `file`; - is stdout")
	a.registerState(cmd)
	return cmd
}

// caFolder is where the certificate authority stands.
func (a *app) caFolder() (string, error) {
	state, err := a.state()
	return caFolder(state), err
}

func (a *app) loadCA() (*ca.Authority, error) {
	folder, err := a.caFolder()
	if err != nil {
		return nil, err
	}
	own, err := ca.Load(folder)
	if errors.Is(err, ca.ErrNone) {
		return nil, badInput("make one: chaosctl ca init", "%s", err)
	}
	if err != nil {
		return nil, badInput("", "%s", err)
	}
	return own, nil
}

// writeCertificate writes the certificate of an authority, without its key. It does
// not write over the authority itself, whose key would be lost.
func writeCertificate(path string, own *ca.Authority) error {
	if there, err := os.Stat(path); err == nil {
		if kept, err := os.Stat(own.Path()); err == nil && os.SameFile(there, kept) {
			return badInput("give another file, for example ca.pem", "%s is the certificate authority itself, with its key", path)
		}
	}
	err := writeWhole(path, func(w io.Writer) error { _, err := w.Write(own.PEM()); return err })
	if err != nil {
		return badInput("", "cannot write the certificate: %s", err)
	}
	return nil
}

// shownCA is a certificate authority as it is printed.
type shownCA struct {
	Name        string    `json:"name"`
	Path        string    `json:"path"`
	Until       time.Time `json:"notAfter"`
	Fingerprint string    `json:"sha256"`
	Certificate string    `json:"certificate"`
}

func (a *app) showCA(own *ca.Authority, out string) error {
	sum := sha256.Sum256(own.Certificate().Raw)
	s := shownCA{
		Name: own.Certificate().Subject.CommonName, Path: own.Path(), Until: own.Certificate().NotAfter.UTC(),
		Fingerprint: hex.EncodeToString(sum[:]), Certificate: string(own.PEM()),
	}
	if a.json() {
		return a.printJSON(s)
	}
	a.printf("%s\n  kept in %s (with its key: give it to nobody)\n  good until %s\n  sha256 %s\n\n", s.Name, s.Path, s.Until.Format(time.DateOnly), s.Fingerprint)
	if out == "" {
		out = "ca.pem"
		a.printf("Write its certificate for those who are to trust it:\n\n  chaosctl ca export --out ca.pem\n\n")
	}
	if abs, err := filepath.Abs(out); err == nil {
		out = abs
	}
	a.printf("%s", howToTrust(out))
	return a.written()
}

// howToTrust says how callers are made to trust a certificate; nothing of it is run.
func howToTrust(file string) string {
	return fmt.Sprintf(`Callers trust it in one of these ways:

  curl               curl --cacert %[1]s ...
  Go, OpenSSL        SSL_CERT_FILE=%[1]s
  Node.js            NODE_EXTRA_CA_CERTS=%[1]s
  Python requests    REQUESTS_CA_BUNDLE=%[1]s
  Java               keytool -importcert -noprompt -alias chaosctl -file %[1]s -keystore chaosctl.jks -storepass changeit
                     java -Djavax.net.ssl.trustStore=chaosctl.jks ...
  Debian, Ubuntu     copy it to /usr/local/share/ca-certificates/chaosctl.crt, then run update-ca-certificates

SSL_CERT_FILE and REQUESTS_CA_BUNDLE take the place of the system's certificates: a
caller that calls others, too, needs both in one file.
`, file)
}

// readSmall reads a file that a document names, of at most 1 MiB. A pipe that nobody
// writes to is empty: nobody may ever come.
func readSmall(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fileProblem(path, err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, strict.MaxBytes+1))
	if err != nil {
		return nil, fileProblem(path, err)
	}
	if len(b) > strict.MaxBytes {
		return nil, experiment.Problems{{File: path, Message: fmt.Sprintf("is longer than the limit of %d bytes (1 MiB)", strict.MaxBytes)}}
	}
	return b, nil
}
