package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/cmd/internal/live"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

// liveHold is how long after its answer a call waits for what tells whose an
// upstream attempt was: with the delays of batches and of a quiet wire its
// verdict is told within a second.
const liveHold = 700 * time.Millisecond

// liveFormats is what can be written while it comes. To add one, put it here.
func liveFormats(every *time.Duration) []report.Format {
	jsonl, _ := report.Lookup("jsonl")
	return []report.Format{
		{Name: "lines", Title: "a line for each new finding", New: func(w io.Writer, opt report.Options) report.Writer {
			return live.NewLines(w, opt.Width, opt.Zone, *every)
		}},
		jsonl,
	}
}

func (a *app) live() *cobra.Command {
	var in input
	var out output
	var w wire
	var k kept
	var every time.Duration
	var metrics, webhook, otlp string
	formats := liveFormats(&every)
	cmd := &cobra.Command{
		Use:   "live [FILTER...]",
		Short: "the same as analyze on the wire, until interrupted",
		Long: `live listens beside a gateway and says within a second of a call's end that its
tools have vanished, and why. On a terminal a table of the upstreams is kept up
to date below a line for each new finding; elsewhere every object of the report
is one line of JSON. FILTER is a capture filter in tcpdump's language; without
one all TCP is captured, and whatever may carry it, or, with --config and
--gateway or --pid, where the file names every upstream, their ports.

With -w the connections of the calls, both hops of them, are written to a pcapng
file with the keys that open them: what carried MCP or a token request, what a
call was found to have caused, and what cannot be read between the gateway and
its upstreams while a call is open. A comment on the frame that begins a call
says its verdict, and the number that the frame has in this run's report; in
Wireshark the display filter frame.comment shows them all. FILE is for its owner
alone, holds secrets, and is complete after each write; SIGHUP begins another.

Who is root becomes the user that called sudo, or nobody, once the interfaces
are open, if that user can read the key logs and write beside FILE; else he stays
root with the right to files alone. Others give up CAP_NET_RAW.

--where is that of analyze: what is written and posted to the webhook is what fits.
Metrics, traces, -w and the table of the upstreams have every call.

The first SIGINT or SIGTERM ends it as soon as the calls under way have their
answers, 2 seconds later at most, with a summary; the second one ends it at
once. Key logs are followed as they grow, also when they appear later.

Exit status: 0 nothing at or above --fail-on, 1 findings at or above it, 2 the
job could not be done.`,
		Example: `  mcp401 live -r capture.pcap
  mcp401 live --format lines -r capture.pcap
  mcp401 live --where 'verdict = swallowed-401' -r capture.pcap
  mcp401 live -w calls.pcapng -C 100 -W 5 -r capture.pcap
  cat capture.pcap | mcp401 live -r -`,
		RunE: func(cmd *cobra.Command, filter []string) error {
			w.filter = strings.Join(filter, " ")
			columns, screen := terminal(a.stdout)
			if out.format == "" && screen {
				out.format = "lines"
			} else if out.format == "" {
				out.format = "jsonl"
			}
			if err := out.check(formats); err != nil {
				return err
			}
			// The first signal ends the run, the second one finds the default
			// action again.
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			context.AfterFunc(ctx, stop)
			var view *screenView
			if screen && out.format == "lines" && a.color() {
				view = &screenView{w: a.stdout, width: columns}
			}
			tell, err := newTeller(metrics, webhook, otlp, every, view)
			if err != nil {
				return err
			}
			err = a.watch(ctx, session{in: &in, out: &out, formats: formats, wire: w, kept: k, drop: true, watch: tell.pipeline(), tell: tell})
			for _, lost := range tell.close() {
				a.warn(lost)
			}
			return err
		},
	}
	in.known(cmd.Flags())
	w.flags(cmd.Flags())
	k.flags(cmd.Flags())
	liveOutput(&out, cmd.Flags(), formats)
	out.whereFlag(cmd.Flags())
	cmd.Flags().DurationVar(&every, "every", 10*time.Minute, "`TIME` after which a finding of the same kind is told again, as a line and to the webhook; 0: never")
	cmd.Flags().StringVar(&metrics, "metrics", "", "`ADDR`, as :9401, on which /metrics is answered for Prometheus")
	cmd.Flags().StringVar(&webhook, "webhook", "", "`URL` to which each new finding is posted as JSON, with a text for Slack")
	otlpFlag(cmd.Flags(), &otlp)
	out.failFlag(cmd.Flags())
	return cmd
}

func otlpFlag(f *pflag.FlagSet, otlp *string) {
	f.StringVar(otlp, "otlp", "", "`URL` of an OpenTelemetry collector, as http://127.0.0.1:4318, to which each call is sent as a trace")
}

// liveOutput is output.flags without -o: a file that appears when it is
// complete is of no use to who waits for it.
func liveOutput(out *output, f *pflag.FlagSet, formats []report.Format) {
	f.StringVar(&out.format, "format", "", "`FORMAT` of the output: "+names(formats)+"; without it lines on a terminal, else jsonl")
	f.StringVar(&out.zone, "time-zone", "UTC", "`ZONE` in which times are written")
}

// A session is what a run on the wire is made of.
type session struct {
	in      *input
	out     *output
	formats []report.Format
	wire    wire
	kept    kept
	drop    bool // give up root's rights although nobody named a user
	watch   pipeline.Live
	tell    *teller // may be nil
}

// watch analyses the wire until ctx is over, and writes what it finds.
func (a *app) watch(ctx context.Context, s session) error {
	if err := cmp.Or(s.wire.check(), s.kept.check()); err != nil {
		return err
	}
	cfg, err := s.in.pipeline()
	if err != nil {
		return err
	}
	if err := a.choose(&s.wire, s.in, &cfg); err != nil {
		return err
	}
	src, err := a.listen(s.wire)
	if err != nil {
		return err
	}
	if s.wire.read == "" && a.giveUp != nil {
		if err := a.giveUp(s.wire.user, s.drop, s.in.keylogs, s.kept.file); err != nil {
			src.Close()
			return err
		}
	}
	warn := s.tell.warner(a.warn)
	keys := newKeylogs(s.in.keylogs, warn)
	first := keys.more()
	for _, missing := range keys.missing() {
		a.warn(hinted(fmt.Errorf("--keylog %s: not there yet", missing), "it is read as soon as it appears"))
	}
	attend(src, &s, warn)
	stop, notes, err := a.keeping(&s, warn)
	if err != nil {
		src.Close()
		return err
	}
	defer stop()
	if s.tell != nil && s.tell.metrics != nil {
		s.tell.metrics.State(s.tell.state)
	}
	sink, err := a.open(s.out, s.formats, nil)
	if err != nil {
		src.Close()
		return err
	}
	sink.live = true
	if wire, ok := src.(*capture.LiveSource); ok {
		s.watch.Clock, s.watch.Idle = true, wire.Idle
	}
	s.watch.Keys = keys.more
	cfg.Live, cfg.Hop.Hold = &s.watch, liveHold
	cfg.Inputs = func() []report.Input { return listened(src, s.wire) }
	cfg.Warnings = func() []decode.Note { return append(freezes(src), notes()...) }
	if len(first) > 0 {
		src = bundle.Keyed(src, [][]byte{first})
	}
	summary, err := pipeline.Run(ctx, src, cfg, s.out.only.Narrow(s.tell.around(sink.write)))
	if err != nil && (sink.err != nil || summary.Records == 0) {
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

// listened is the inputs of a run on the wire.
func listened(src capture.Source, w wire) []report.Input {
	if f, ok := src.(*capture.Files); ok {
		return bundle.Inputs(f)
	}
	var list []report.Input
	for _, name := range w.names() {
		list = append(list, report.Input{Name: name, Kind: "interface"})
	}
	return list
}

// A keylogs follows key logs by themselves, so that keys are read while the
// wire is quiet.
type keylogs struct {
	logs []keylog
	warn func(error)
}

func newKeylogs(names []string, warn func(error)) *keylogs {
	k := &keylogs{warn: warn}
	for _, name := range names {
		k.logs = append(k.logs, keylog{name: name})
	}
	return k
}

// more returns the lines that were added to any of them.
func (k *keylogs) more() []byte {
	var lines []byte
	for i := range k.logs {
		l := &k.logs[i]
		lines = append(lines, l.more()...)
		if l.fault != nil && !l.said {
			k.warn(hinted(fmt.Errorf("--keylog %s: %w", l.name, capture.Nameless(l.fault)), "it is read as soon as it can be"))
		}
		l.said = l.fault != nil
	}
	return lines
}

// missing returns the names of those that could not be read yet.
func (k *keylogs) missing() []string {
	var list []string
	for i := range k.logs {
		if l := &k.logs[i]; l.file == nil && l.fault == nil {
			list = append(list, l.name)
		}
	}
	return list
}

// sendPatience is how long the end of a run waits for what is still to be sent.
const sendPatience = 5 * time.Second

// A teller tells of a run elsewhere than in its output: each part may be nil.
type teller struct {
	view    *screenView
	metrics *live.Metrics
	webhook *live.Webhook
	state   live.State
	traces  *live.Traces
}

func newTeller(metrics, webhook, otlp string, every time.Duration, view *screenView) (*teller, error) {
	t := &teller{view: view}
	if metrics != "" {
		t.metrics = live.NewMetrics()
		if err := t.metrics.Listen(metrics); err != nil {
			return nil, hinted(err, "an address of this machine and a port that nobody listens on, as in 127.0.0.1:9401")
		}
	}
	if webhook != "" {
		var err error
		if t.webhook, err = live.NewWebhook(webhook, every); err != nil {
			t.close()
			return nil, err
		}
		if t.metrics != nil {
			t.metrics.Webhook(t.webhook)
		}
	}
	if otlp != "" {
		var err error
		if t.traces, err = live.NewTraces(otlp, Version); err != nil {
			t.close()
			return nil, err
		}
		if t.metrics != nil {
			t.metrics.Traces(t.traces)
		}
	}
	return t, nil
}

// pipeline returns what the run is to call.
func (t *teller) pipeline() pipeline.Live {
	return pipeline.Live{
		Case: func(c *hop.Case, f rules.Finding) {
			if t.view != nil {
				t.view.board.Case(c, f)
			}
			if t.metrics != nil {
				t.metrics.Case(c, f)
			}
			if t.traces != nil {
				t.traces.Case(c, f)
			}
		},
		Beat: func(b pipeline.Beat) {
			if t.view != nil {
				t.view.beat(b)
			}
			if t.metrics != nil {
				t.metrics.Beat(b)
			}
		},
	}
}

// around is write with what is told of each object.
func (t *teller) around(write func(report.Object) error) func(report.Object) error {
	if t == nil {
		return write
	}
	if t.view != nil {
		write = t.view.around(write)
	}
	if t.webhook == nil {
		return write
	}
	return func(o report.Object) error {
		t.webhook.Write(o)
		return write(o)
	}
}

// close returns an error for each part that lost something.
func (t *teller) close() (lost []error) {
	end := time.Now().Add(sendPatience)
	if t.metrics != nil {
		t.metrics.Close()
	}
	if t.webhook != nil {
		if err := t.webhook.Close(time.Until(end)); err != nil {
			lost = append(lost, err)
		}
	}
	if t.traces != nil {
		if err := t.traces.Close(max(time.Until(end), time.Second)); err != nil {
			lost = append(lost, err)
		}
	}
	return lost
}

// A screenView keeps the board below the lines on a terminal.
type screenView struct {
	w     io.Writer
	width int
	board live.Board
	drawn int // lines of the board that stand on the screen
	last  time.Time
}

// viewEvery is how often the board is drawn: often enough for the eye, calm.
const viewEvery = 500 * time.Millisecond

func (v *screenView) beat(b pipeline.Beat) {
	v.board.Beat(b)
	if now := time.Now(); now.Sub(v.last) >= viewEvery {
		v.last = now
		v.draw()
	}
}

// draw writes the board over itself, in one write so that it does not flicker.
func (v *screenView) draw() {
	if columns, ok := terminal(v.w); ok {
		v.width = columns
	}
	lines := v.board.Lines(v.width)
	text := v.up() + strings.Join(lines, "\r\n") + "\r\n"
	v.drawn = len(lines)
	io.WriteString(v.w, text) // a closed terminal shows at the next finding
}

// up goes back to where the board begins and clears what is below.
func (v *screenView) up() string {
	if v.drawn == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", v.drawn)
}

// around takes the board away while an object is written that prints a line.
func (v *screenView) around(write func(report.Object) error) func(report.Object) error {
	return func(o report.Object) error {
		if o.Summary != nil { // the board stays, with the last counts, above it
			v.board.Beat(pipeline.Beat{Records: o.Summary.Records, Exchanges: o.Summary.Exchanges, Lost: o.Summary.Lost})
			v.draw()
			v.drawn = 0
			return write(o)
		}
		if o.Finding == nil {
			return write(o)
		}
		io.WriteString(v.w, v.up())
		v.drawn = 0
		err := write(o)
		v.draw()
		return err
	}
}
