package cli

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"
	"time"
	_ "time/tzdata" // --time-zone works where no zone files are installed

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/rules"
	"mcp401/rules/report"
)

// An input is the flags that say what is read and what is known beforehand.
type input struct {
	keylogs   []string
	gateways  []string
	upstreams []string
	config    string
	jobs      int
}

func (in *input) flags(f *pflag.FlagSet) {
	in.known(f)
	f.IntVarP(&in.jobs, "jobs", "j", 1, "decoders at work at once; the report is the same for any `N`")
}

// known is the flags but those of a file's analysis.
func (in *input) known(f *pflag.FlagSet) {
	in.jobs = 1
	f.StringArrayVar(&in.keylogs, "keylog", nil, "TLS key log `FILE` as written for SSLKEYLOGFILE (repeatable)")
	f.StringArrayVar(&in.gateways, "gateway", nil, "`HOST:PORT` of the gateway, where it is not recognised (repeatable)")
	f.StringArrayVar(&in.upstreams, "upstream", nil, "`HOST:PORT` of an MCP server behind it (repeatable)")
	f.StringVar(&in.config, "config", "", "the gateway's `litellm.yaml`: server names, URLs, aliases")
}

// pipeline returns the pipeline's view of the flags.
func (in *input) pipeline() (pipeline.Config, error) {
	cfg := pipeline.Config{Version: Version, Jobs: in.jobs}
	if in.jobs < 1 || in.jobs > 256 {
		return cfg, fmt.Errorf("-j %d: not a number from 1 to 256", in.jobs)
	}
	var err error
	if cfg.Hop.Gateways, err = addresses("--gateway", in.gateways); err != nil {
		return cfg, err
	}
	if cfg.Hop.Upstreams, err = addresses("--upstream", in.upstreams); err != nil {
		return cfg, err
	}
	if in.config != "" {
		if cfg.Hop.Names, err = readConfig(in.config); err != nil {
			return cfg, err
		}
	}
	return cfg, nil
}

func (a *app) analyze() *cobra.Command {
	var in input
	var out output
	var baseline string
	cmd := &cobra.Command{
		Use:   "analyze FILE...",
		Short: "find the calls whose upstream failure was hidden, and say why",
		Long: `analyze reads captures (pcap, pcapng, HAR; each also compressed) and reports
every call that matters with its verdict. A FILE of "-" is standard input.
Several files are one capture: they are merged by time.

--where EXPR shows the calls alone that fit, with their findings; the summary says
how many were left out, and the exit status counts what is shown. EXPR compares
(= != ~ < <= > >=) verdict, cause, severity, confidence, server, client, gateway,
path, status, tools, kind, frame or failure with a value, and joins with && || !
and parentheses. ~ finds a regular expression (RE2); a value with spaces,
parentheses or | stands in quotes; "" is what is not there.

Exit status: 0 nothing at or above --fail-on, 1 findings at or above it, 2 the
job could not be done. A damaged file is analysed as far as it goes.`,
		Example: `  mcp401 analyze capture.pcap
  mcp401 analyze --format json -o report.json capture.pcap
  mcp401 analyze --config litellm.yaml --fail-on never capture.pcap
  mcp401 analyze --baseline report.json capture.pcap
  mcp401 analyze --where 'server ~ ^pass && !(status = 200)' capture.pcap
  cat capture.pcap | mcp401 analyze -`,
		Args: files,
		RunE: func(cmd *cobra.Command, names []string) error {
			cfg, err := in.pipeline()
			if err != nil {
				return err
			}
			if out.known, err = a.baseline(baseline, names, &in); err != nil {
				return err
			}
			return a.run(names, in.keylogs, cfg, &out, report.Formats)
		},
	}
	in.flags(cmd.Flags())
	baselineFlag(cmd.Flags(), &baseline)
	out.flags(cmd.Flags(), report.Formats, "table")
	out.whereFlag(cmd.Flags())
	out.failFlag(cmd.Flags())
	return cmd
}

// files wants at least one name.
func files(cmd *cobra.Command, names []string) error {
	if len(names) == 0 {
		return hinted(errors.New("no file named"), cmd.CommandPath()+" capture.pcap, or - for standard input")
	}
	return nil
}

// run reads the named captures and writes what the pipeline makes of them.
func (a *app) run(names, keylogs []string, cfg pipeline.Config, out *output, formats []report.Format) error {
	if err := out.check(formats); err != nil {
		return err
	}
	keys, err := readKeylogs(keylogs)
	if err != nil {
		return err
	}
	src, err := capture.Open(names, a.stdin, capture.Options{})
	if err != nil {
		return err
	}
	sink, err := a.open(out, formats, names)
	if err != nil {
		src.Close()
		return err
	}
	progress := a.progress(src, sink)
	cfg.Inputs = func() []report.Input { return bundle.Inputs(src) }
	cfg.Warnings = func() []decode.Note { return bundle.Warnings(src) }
	cfg.Progress = progress.look
	sink.live = contains(names, "-")

	// The first signal ends the reading; what was read is judged. The second
	// one finds the default action again.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)

	keyed := bundle.Keyed(src, keys)
	if sink.live {
		keyed = following(src, keylogs, keys)
	}
	summary, err := pipeline.Run(ctx, keyed, cfg, out.only.Narrow(sink.write))
	progress.erase()
	if err != nil && (sink.err != nil || summary.Records == 0 && cfg.Show == pipeline.Cases) {
		sink.abandon()
		a.status = sink.status()
		return err
	}
	if err != nil {
		a.warn(err)
	}
	if err := sink.close(); err != nil {
		return err
	}
	a.status = sink.status()
	return nil
}

// failOn maps --fail-on to the least rank that counts.
var failOn = map[string]int{
	"error":   rules.Error.Rank(),
	"warning": rules.Warning.Rank(),
	"note":    rules.Note.Rank(),
	"never":   rules.Error.Rank() + 1,
}

// zone reads --time-zone.
func zone(name string) (*time.Location, error) {
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, hinted(fmt.Errorf("--time-zone %s: not known", quote(name)), "a name as Europe/Berlin, UTC or Local")
	}
	return loc, nil
}

func contains(list []string, s string) bool {
	for _, v := range list {
		if v == s {
			return true
		}
	}
	return false
}
