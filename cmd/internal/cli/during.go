package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"mcp401/capture"
	"mcp401/rules/report"
)

// patience is how long a command that is told to end may take.
const patience = 5 * time.Second

// during is the command run.
func (a *app) during() *cobra.Command {
	var in input
	var out output
	var w wire
	var k kept
	var otlp, baseline string
	cmd := &cobra.Command{
		Use:   "run [flags] -- COMMAND...",
		Short: "capture while a command runs, then report",
		Long: `run listens while COMMAND runs, and then reports every call that matters, as
analyze does: a check for a CI job or a smoke test. Without -i it listens on the
loopback interface. The command has this terminal; with -o the report does not
stand among its output. --bpf-file and -w are those of live. Nobody's rights are
given up but with --user, which is then the command's user too.

Exit status: 1 findings at or above --fail-on, 2 the job could not be done; else
the command's own.`,
		Example: `  mcp401 run -r capture.pcap -- true
  mcp401 run --baseline report.json -r capture.pcap -- true
  mcp401 run --fail-on never -r capture.pcap -- sh -c 'echo done'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return hinted(errors.New("no command named"), "mcp401 run -- curl http://127.0.0.1:4000/mcp/")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(report.Formats); err != nil {
				return err
			}
			var err error
			if out.known, err = a.baseline(baseline, []string{w.read}, &in); err != nil {
				return err
			}
			if len(w.interfaces) == 0 && w.read == "" {
				w.interfaces = []string{"lo"}
			}
			// The first signal goes to the command, the second one finds the
			// default action again.
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)

			child := exec.CommandContext(ctx, args[0], args[1:]...)
			if child.Err != nil {
				return a.own(args[0], child.Err)
			}
			child.Stdin, child.Stdout, child.Stderr = a.stdin, a.stdout, a.stderr
			child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
			child.WaitDelay = patience
			tell, err := newTeller("", "", otlp, 0, nil)
			if err != nil {
				return err
			}
			var ended error
			watch := tell.pipeline()
			watch.Until = func() { ended = child.Run() }
			err = a.watch(context.Background(), session{in: &in, out: &out, formats: report.Formats, wire: w, kept: k, watch: watch, tell: tell})
			for _, lost := range tell.close() {
				a.warn(lost)
			}
			if err != nil {
				return err
			}
			return a.own(args[0], ended)
		},
	}
	cmd.Flags().SetInterspersed(false)
	in.known(cmd.Flags())
	w.flags(cmd.Flags())
	k.flags(cmd.Flags())
	out.flags(cmd.Flags(), report.Formats, "table")
	out.whereFlag(cmd.Flags())
	baselineFlag(cmd.Flags(), &baseline)
	otlpFlag(cmd.Flags(), &otlp)
	out.failFlag(cmd.Flags())
	return cmd
}

// own makes the command's exit status this program's, where there are no
// findings: as a shell does, 128 and the signal for one that was killed.
func (a *app) own(name string, err error) error {
	var exit *exec.ExitError
	switch {
	case err == nil:
	case !errors.As(err, &exit):
		var e *exec.Error
		if errors.As(err, &e) {
			err = e.Err
		}
		return fmt.Errorf("%s: %w", name, capture.Nameless(err))
	case a.status != statusClean:
	case exit.ExitCode() < 0:
		a.status = statusSignal
		if s, ok := exit.Sys().(syscall.WaitStatus); ok {
			a.status += int(s.Signal())
		}
	default:
		a.status = exit.ExitCode()
	}
	return nil
}
