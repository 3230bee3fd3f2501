package cli

import (
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
	var every time.Duration
	var metrics, webhook string
	formats := liveFormats(&every)
	cmd := &cobra.Command{
		Use:   "live [FILTER...]",
		Short: "the same as analyze on the wire, until interrupted",
		Long: `live listens beside a gateway and says within a second of a call's end that its
tools have vanished, and why. On a terminal a table of the upstreams is kept up
to date below a line for each new finding; elsewhere every object of the report
is one line of JSON. FILTER is a capture filter in tcpdump's language.

The first SIGINT or SIGTERM ends it as soon as the calls under way have their
answers, 2 seconds later at most, with a summary; the second one ends it at
once. Key logs are followed as they grow, also when they appear later.

Exit status: 0 nothing at or above --fail-on, 1 findings at or above it, 2 the
job could not be done.`,
		Example: `  mcp401 live -r capture.pcap
  mcp401 live --format lines -r capture.pcap
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
			tell, err := newTeller(metrics, webhook, every, view)
			if err != nil {
				return err
			}
			err = a.watch(ctx, &in, &out, formats, w, tell.pipeline(), tell)
			if lost := tell.close(); lost != nil {
				a.warn(lost)
			}
			return err
		},
	}
	in.known(cmd.Flags())
	w.flags(cmd.Flags())
	liveOutput(&out, cmd.Flags(), formats)
	cmd.Flags().DurationVar(&every, "every", 10*time.Minute, "`TIME` after which a finding of the same kind is told again, as a line and to the webhook; 0: never")
	cmd.Flags().StringVar(&metrics, "metrics", "", "`ADDR`, as :9401, on which /metrics is answered for Prometheus")
	cmd.Flags().StringVar(&webhook, "webhook", "", "`URL` to which each new finding is posted as JSON, with a text for Slack")
	out.failFlag(cmd.Flags())
	return cmd
}

// liveOutput is output.flags without -o: a file that appears when it is
// complete is of no use to who waits for it.
func liveOutput(out *output, f *pflag.FlagSet, formats []report.Format) {
	f.StringVar(&out.format, "format", "", "`FORMAT` of the output: "+names(formats)+"; without it lines on a terminal, else jsonl")
	f.StringVar(&out.zone, "time-zone", "UTC", "`ZONE` in which times are written")
}

// watch analyses the wire until ctx is over, and writes what it finds.
func (a *app) watch(ctx context.Context, in *input, out *output, formats []report.Format, w wire, watch pipeline.Live, tell *teller) error {
	cfg, err := in.pipeline()
	if err != nil {
		return err
	}
	keys := newKeylogs(in.keylogs)
	first := keys.more()
	for _, missing := range keys.missing() {
		a.warn(hinted(fmt.Errorf("--keylog %s: not there yet", missing), "it is read as soon as it appears"))
	}
	src, err := a.listen(w)
	if err != nil {
		return err
	}
	sink, err := a.open(out, formats, nil)
	if err != nil {
		src.Close()
		return err
	}
	sink.live = true
	watch.Keys = keys.more
	cfg.Live, cfg.Hop.Hold = &watch, liveHold
	cfg.Inputs = func() []report.Input { return listened(src, w) }
	if len(first) > 0 {
		src = bundle.Keyed(src, [][]byte{first})
	}
	summary, err := pipeline.Run(ctx, src, cfg, tell.around(sink.write))
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
	for _, name := range w.interfaces {
		list = append(list, report.Input{Name: name, Kind: "interface"})
	}
	return list
}

// A keylogs follows key logs by themselves, so that keys are read while the
// wire is quiet.
type keylogs []keylog

func newKeylogs(names []string) keylogs {
	var k keylogs
	for _, name := range names {
		k = append(k, keylog{name: name})
	}
	return k
}

// more returns the lines that were added to any of them.
func (k keylogs) more() []byte {
	var lines []byte
	for i := range k {
		lines = append(lines, k[i].more()...)
	}
	return lines
}

// missing returns the names of those that could not be read yet.
func (k keylogs) missing() []string {
	var list []string
	for i := range k {
		if k[i].file == nil {
			list = append(list, k[i].name)
		}
	}
	return list
}

// webhookPatience is how long the end of a run waits for messages to be sent.
const webhookPatience = 5 * time.Second

// A teller tells of a run elsewhere than in its output: each part may be nil.
type teller struct {
	view    *screenView
	metrics *live.Metrics
	webhook *live.Webhook
}

func newTeller(metrics, webhook string, every time.Duration, view *screenView) (*teller, error) {
	t := &teller{view: view}
	if metrics != "" {
		t.metrics = live.NewMetrics()
		if err := t.metrics.Listen(metrics); err != nil {
			return nil, err
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

// close returns an error where messages were lost.
func (t *teller) close() error {
	if t.metrics != nil {
		t.metrics.Close()
	}
	if t.webhook != nil {
		return t.webhook.Close(webhookPatience)
	}
	return nil
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
