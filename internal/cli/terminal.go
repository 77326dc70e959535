package cli

import (
	"io"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
	"golang.org/x/term"

	"github.com/chaosctl/chaosctl/internal/report"
)

// terminal returns the width of the terminal w writes to, and whether it is one.
func (a *app) terminal(w io.Writer) (width int, ok bool) {
	f, isFile := bare(w).(interface{ Fd() uintptr })
	if !isFile || !term.IsTerminal(int(f.Fd())) {
		return 0, false
	}
	if name, _ := a.env.Getenv("TERM"); name == "dumb" {
		return 0, false
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width <= 0 {
		width = 80
	}
	return width, true
}

// colours tells whether w takes colours: a terminal does unless NO_COLOR or
// TERM say otherwise; CLICOLOR_FORCE forces them.
func (a *app) colours(w io.Writer) bool {
	var environ []string
	for _, name := range []string{"NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "TERM", "COLORTERM", "TTY_FORCE", "WT_SESSION", "TERM_PROGRAM", "ANSICON", "GOOGLE_CLOUD_SHELL"} {
		if v, ok := a.env.Getenv(name); ok {
			environ = append(environ, name+"="+v)
		}
	}
	return colorprofile.Detect(bare(w), environ) >= colorprofile.ANSI
}

// style is how reports stand out on w.
func (a *app) style(w io.Writer) report.Style {
	if !a.colours(w) {
		return report.Style{}
	}
	paint := func(s lipgloss.Style) func(string) string {
		return func(text string) string { return s.Render(text) }
	}
	plain := lipgloss.NewStyle()
	return report.Style{
		Good: paint(plain.Bold(true).Foreground(lipgloss.Green)),
		Bad:  paint(plain.Bold(true).Foreground(lipgloss.Red)),
		Warn: paint(plain.Bold(true).Foreground(lipgloss.Yellow)),
		Dim:  paint(plain.Faint(true)),
		Bold: paint(plain.Bold(true)),
	}
}
