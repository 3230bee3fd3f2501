// Package cli is the command line: commands, flags, exit status, and the voice
// on standard error.
//
// Standard output is the report and nothing else. It decides nothing about
// traffic: it names files and known facts to the pipeline and a format to what
// comes out of it.
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
)

// Version is the version of this program.
const Version = "0.1.0"

// The exit statuses.
const (
	statusClean  = 0 // nothing at or above --fail-on
	statusFound  = 1 // findings at or above it
	statusFailed = 2 // the job could not be done

	statusSignal = 128 // and its number: a signal ended the command of run
)

// commands is every command. To add one, write a file with its constructor and
// put it here.
var commands = []func(*app) *cobra.Command{
	(*app).analyze,
	(*app).serve,
	(*app).page,
	(*app).live,
	(*app).during,
	(*app).show,
	(*app).explain,
	(*app).rules,
	(*app).report,
	(*app).diff,
	(*app).verify,
	(*app).demo,
	(*app).redact,
	(*app).har,
	(*app).completion,
	(*app).man,
	(*app).version,
}

// An app is one run of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	status         int
	quiet, noColor bool
	wire           func(wire) (capture.Source, error) // opens interfaces

	// giveUp gives up the rights that only that needed; nil, in tests: none
	giveUp func(name string, choose bool, keylogs []string, file string) error
}

// Main runs the program and returns its exit status.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	frugal()
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, wire: onWire}
	a.giveUp = a.relinquish
	root := a.root()
	root.SetArgs(args)
	if err := root.Execute(); err != nil {
		return a.fail(err)
	}
	return a.status
}

// frugal keeps the program small: what it holds at once is little, what it
// allocates and drops is much, so that the default of letting the heap double
// costs memory and saves little time: with half a long capture takes a sixth
// less memory, and a twentieth more time. The environment has the last word.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "mcp401",
		Short: "find MCP tools lists that came back empty because an upstream said 401",
		Long: `mcp401 reads captures of an MCP gateway (pcap, pcapng, HAR) and finds the calls
that were answered "200, no tools" because an upstream server refused the
gateway. It says which frame shows it, why the upstream refused, and what to
change.`,
		Example:                    "  mcp401 analyze capture.pcap\n  mcp401 explain swallowed-401",
		SilenceErrors:              true,
		SuggestionsMinimumDistance: 2,
		DisableFlagsInUseLine:      true,
		SilenceUsage:               true,
		Args:                       cobra.ArbitraryArgs,
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				err := fmt.Errorf("%s is not a command", quote(args[0]))
				if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
					return hinted(err, "did you mean: mcp401 "+near[0])
				}
				return hinted(err, "mcp401 --help lists them; to read a capture: mcp401 analyze "+args[0])
			}
			return cmd.Help()
		},
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return hinted(err, cmd.CommandPath()+" --help")
	})
	root.PersistentFlags().BoolVar(&a.quiet, "quiet", false, "no progress and no warnings on standard error")
	root.PersistentFlags().BoolVar(&a.noColor, "no-color", false, "no colours, also on a terminal (as NO_COLOR=1)")
	for _, command := range commands {
		root.AddCommand(command(a))
	}
	complete(root)
	return root
}

// A hint is an error with something to do about it.
type hint struct {
	error
	text string
}

func (h hint) Unwrap() error { return h.error }

func hinted(err error, text string) error { return hint{err, text} }

// fail tells of an error and returns the exit status for it.
func (a *app) fail(err error) int {
	if closedPipe(err) {
		return a.status
	}
	a.say(err)
	return statusFailed
}

// closedPipe reports whether whoever read the output has gone away, which is
// not worth a word.
func closedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// say tells of an error on standard error, with its hint.
func (a *app) say(err error) {
	fmt.Fprintf(a.stderr, "mcp401: %s\n", printable(err.Error()))
	var h hint
	var c *capture.Error
	var b *bundle.Error
	switch {
	case errors.As(err, &h):
		fmt.Fprintf(a.stderr, "hint: %s\n", printable(h.text))
	case errors.As(err, &b) && b.Hint != "":
		fmt.Fprintf(a.stderr, "hint: %s\n", printable(b.Hint))
	case errors.As(err, &c) && c.Hint != "":
		fmt.Fprintf(a.stderr, "hint: %s\n", printable(c.Hint))
	}
}

// warn is say for what does not end the run.
func (a *app) warn(err error) {
	if !a.quiet {
		a.say(err)
	}
}

// printable keeps file names and errors on one line and from steering the
// terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

func quote(s string) string { return fmt.Sprintf("%q", s) }
