package pipeline

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/cmd/internal/lag"
	"mcp401/decode"
	"mcp401/rules"
	"mcp401/rules/hop"
	"mcp401/rules/report"
)

// A wire gives records at the pace of their time stamps, made new, and is
// quiet then until it is closed.
type wire struct {
	records []capture.Record
	from    time.Time // of the wall, for the first
	first   time.Time // of the records
	cut     chan struct{}
	once    sync.Once
}

func newWire(script string) *wire {
	records := capturetest.MustParse(script).Records()
	return &wire{records: records, from: time.Now(), first: records[0].Time, cut: make(chan struct{})}
}

func (w *wire) Next() (capture.Record, error) {
	wait := time.Duration(1<<62 - 1)
	if len(w.records) > 0 {
		wait = time.Until(w.from.Add(w.records[0].Time.Sub(w.first)))
	}
	select {
	case <-w.cut:
		return capture.Record{}, io.ErrClosedPipe
	case <-time.After(wait):
	}
	r := w.records[0]
	w.records = w.records[1:]
	r.Time = w.from.Add(r.Time.Sub(w.first))
	return r, nil
}

func (w *wire) Close() error {
	w.once.Do(func() { close(w.cut) })
	return nil
}

// swallowed is one hidden 401, after which nothing is on the wire.
const swallowed = `
down> POST /passthru/mcp
  Authorization: Bearer bad
  rpc tools/list 7
passthru> POST /mcp
  Authorization: Bearer bad
  rpc initialize 0
passthru< 401 json
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
down< 200 sse
  result tools 0
`

// inTime checks that something came within the time promised for it, and what
// the machine was late.
func inTime(t *testing.T, what string, took, most, lag time.Duration) {
	t.Helper()
	if took < 0 || took > most+lag {
		t.Errorf("%s after %v, %v at most and the machine was %v late", what, took, most, lag)
	}
}

// The verdict of a call is told within a second of its answer, while the wire
// is quiet and no connection has ended.
func TestVerdictWithinASecond(t *testing.T) {
	since := lag.Measure()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	late := time.Duration(-1)
	cfg := Config{Hop: hop.Config{Hold: 700 * time.Millisecond}, Live: &Live{
		Case: func(c *hop.Case, f rules.Finding) {
			late = time.Since(c.Call.At.Time)
			cancel()
		},
	}}
	giveUp := time.AfterFunc(time.Minute, cancel)
	defer giveUp.Stop()
	summary, err := Run(ctx, newWire(swallowed), cfg, func(report.Object) error { return nil })
	if err != nil || summary.ByVerdict["swallowed-401"] != 1 || summary.Cases != 1 {
		t.Errorf("%v, %+v", err, summary)
	}
	inTime(t, "told", late, time.Second, since())
}

// A call that is open when the run is cancelled gets its answer and its
// verdict, as long as it comes in time.
func TestCancelledRunWaitsForAnswers(t *testing.T) {
	for _, c := range []struct {
		wait    string
		verdict string
		most    time.Duration
	}{
		{"500ms", "swallowed-401", 1900 * time.Millisecond},
		{"60s", "unanswered", 4 * time.Second},
	} {
		t.Run(c.wait, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			since := lag.Measure()
			time.AfterFunc(200*time.Millisecond, cancel)
			start := time.Now()
			w := newWire(strings.Replace(swallowed, "\ndown< 200", "\n~ "+c.wait+"\ndown< 200", 1))
			summary, err := Run(ctx, w, Config{Hop: hop.Config{Hold: 700 * time.Millisecond}, Live: &Live{}}, func(report.Object) error { return nil })
			if err != nil || summary.ByVerdict[c.verdict] != 1 {
				t.Errorf("%v, %+v", err, summary)
			}
			inTime(t, "over", time.Since(start), c.most, since())
		})
	}
}

// A wire on which nothing is seen ends with a summary, and at once when the
// output is gone.
func TestQuietWire(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := &wire{cut: make(chan struct{})}
	beats := 0
	cfg := Config{Live: &Live{Beat: func(b Beat) {
		if beats++; beats == 2 {
			cancel()
		}
	}}}
	summaries := 0
	_, err := Run(ctx, w, cfg, func(o report.Object) error {
		if o.Summary != nil {
			summaries++
		}
		return nil
	})
	if err != nil || summaries != 1 || beats < 2 {
		t.Errorf("%v, %d summaries, %d beats", err, summaries, beats)
	}
	gone := func(o report.Object) error {
		if o.Case != nil {
			return io.ErrClosedPipe
		}
		return nil
	}
	if _, err := Run(context.Background(), newWire(swallowed), Config{Hop: hop.Config{Hold: time.Second}, Live: &Live{}}, gone); err != io.ErrClosedPipe {
		t.Errorf("%v", err)
	}
}

// A call whose upstream side is not seen waits for evidence that may come
// later; on a quiet wire not for ever.
func TestHeldCallOnAQuietWire(t *testing.T) {
	since := lag.Measure()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	late := time.Duration(-1)
	cfg := Config{Hop: hop.Config{Hold: 700 * time.Millisecond}, Live: &Live{
		Case: func(c *hop.Case, f rules.Finding) {
			late = time.Since(c.Call.At.Time)
			cancel()
		},
	}}
	w := newWire("down> POST /passthru/mcp\n  rpc tools/list 7\ndown< 200 sse\n  result tools 0\n")
	if _, err := Run(ctx, w, cfg, func(report.Object) error { return nil }); err != nil {
		t.Error(err)
	}
	inTime(t, "told", late, time.Second, since())
}

// Keys are asked for while the wire is quiet.
func TestKeysOnAQuietWire(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	asked := 0
	cfg := Config{Live: &Live{Keys: func() []byte {
		if asked++; asked == 3 {
			cancel()
			return []byte("no key log line\n")
		}
		return nil
	}}}
	notes := ""
	_, err := Run(ctx, newWire(swallowed), cfg, func(o report.Object) error {
		if o.Note != nil {
			notes += o.Note.Code + " "
		}
		return nil
	})
	if err != nil || !strings.Contains(notes, "tls/bad-key-log") {
		t.Errorf("%v, notes %s", err, notes)
	}
}

// A run ends when what it was to accompany does, and not before that.
func TestUntil(t *testing.T) {
	start, over := time.Now(), false
	cfg := Config{Live: &Live{Until: func() {
		time.Sleep(300 * time.Millisecond)
		over = true
	}}}
	summary, err := Run(context.Background(), newWire(swallowed), cfg, func(report.Object) error { return nil })
	if err != nil || !over || summary.ByVerdict["swallowed-401"] != 1 {
		t.Errorf("%v, over: %v, %+v", err, over, summary)
	}
	if took := time.Since(start); took < 600*time.Millisecond || took > time.Minute {
		t.Errorf("took %v", took)
	}
	over = false
	if _, err := Run(context.Background(), &tape{}, cfg, func(report.Object) error { return nil }); err != nil || !over {
		t.Errorf("a source that ends early: %v, over: %v", err, over)
	}
}

// A clock that is set, back or forward, within a call and between two: both
// calls have their verdicts, in time, no connection is taken for idle, and it is
// said.
func TestClockIsSet(t *testing.T) {
	for _, by := range []time.Duration{-time.Hour, time.Hour, -24 * time.Hour, 24 * time.Hour} {
		for _, at := range []int{5, -1} { // a frame of the first call; the first of the second
			t.Run(fmt.Sprint(by, at), func(t *testing.T) {
				t.Parallel()
				w := newWire(swallowed + "~ 300ms" + swallowed)
				n := at
				if n < 0 {
					for i, r := range w.records {
						if r.Time.Sub(w.first) > 200*time.Millisecond {
							n = i
							break
						}
					}
				}
				stepped := &steppedWire{wire: w, left: n, by: by}
				since := lag.Measure()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				giveUp := time.AfterFunc(time.Minute, cancel)
				defer giveUp.Stop()
				var verdicts, notes []string
				most := time.Duration(0)
				cfg := Config{Hop: hop.Config{Hold: 700 * time.Millisecond}, Live: &Live{
					Clock: true,
					Note: func(n decode.Note) {
						notes = append(notes, fmt.Sprint(n.Code, " ", time.Duration(n.N)*time.Millisecond))
					},
					Case: func(c *hop.Case, f rules.Finding) {
						verdicts = append(verdicts, f.Rule)
						most = max(most, time.Since(w.from))
						if len(verdicts) == 2 {
							cancel()
						}
					},
				}}
				summary, err := Run(ctx, stepped, cfg, func(report.Object) error { return nil })
				if err != nil || strings.Join(verdicts, " ") != "swallowed-401 swallowed-401" || summary.Cases != 2 {
					t.Errorf("%v: %q, %+v", err, verdicts, summary)
				}
				inTime(t, "the last verdict", most, 3*time.Second, since())
				if len(notes) != 1 || !strings.HasPrefix(notes[0], "capture/clock-step ") {
					t.Errorf("notes %q", notes)
				}
			})
		}
	}
}

// A steppedWire is a wire on a machine whose clock is set after some frames.
type steppedWire struct {
	*wire
	left int
	by   time.Duration
}

func (w *steppedWire) Next() (capture.Record, error) {
	r, err := w.wire.Next()
	if w.left--; w.left < 0 && err == nil {
		r.Time = r.Time.Add(w.by)
	}
	return r, err
}
