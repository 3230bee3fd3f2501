package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
	"mcp401/rules/report"
)

// script has two clients at once, a hidden 401, a good list, and a loss.
const script = `
down> POST /passthru/mcp
  Authorization: Bearer bad
  rpc tools/list 7
alice = 10.0.0.6:40001 > gateway
alice> POST /healthy/mcp
  rpc tools/list 8
passthru> POST /mcp
  Authorization: Bearer bad
  rpc initialize 0
healthy> POST /mcp
  rpc initialize 0
passthru< 401 json
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
passthru. close
healthy< 200 json
  result init healthy
healthy> POST /mcp
  rpc tools/list 1
healthy< 200 json
  result tools 3
healthy. close
down< 200 sse
  result tools 0
alice< 200 sse
  result tools 3
~ 2s
! drops 12
down> GET /health
down< 200 json
  {}
`

// lines runs a capture and returns its objects as jsonl.
func lines(t testing.TB, src capture.Source, cfg Config) string {
	t.Helper()
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	if _, err := Run(context.Background(), src, cfg, func(o report.Object) error { return enc.Encode(o) }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// A tape is a source of given records, whose bytes it spoils with the next
// call, as a source may.
type tape struct {
	records []capture.Record
	end     error // instead of io.EOF
	wait    chan struct{}
	packet  capture.Packet
	bytes   []byte
}

func (s *tape) Next() (capture.Record, error) {
	if len(s.records) == 0 {
		if s.wait != nil {
			<-s.wait
		}
		if s.end != nil {
			return capture.Record{}, s.end
		}
		return capture.Record{}, io.EOF
	}
	r := s.records[0]
	s.records = s.records[1:]
	for i := range s.bytes {
		s.bytes[i] = 0xaa
	}
	switch {
	case r.Packet != nil:
		s.bytes = append(s.bytes[:0], r.Packet.Data...)
		s.packet = *r.Packet
		s.packet.Data = s.bytes
		r.Packet = &s.packet
	case r.Secret != nil:
		s.bytes = append(s.bytes[:0], r.Secret.Lines...)
		r.Secret = &capture.Secret{Lines: s.bytes}
	}
	return r, nil
}

func (s *tape) Close() error {
	if s.wait != nil {
		select {
		case <-s.wait:
		default:
			close(s.wait)
		}
	}
	return nil
}

// The objects are the same, byte for byte, for any number of workers.
func TestSameForAnyWorkers(t *testing.T) {
	check := func(t *testing.T, src func() capture.Source) {
		for _, show := range []Show{Cases, Exchanges, Messages} {
			want := lines(t, src(), Config{Show: show})
			for _, jobs := range []int{2, 3, 8} {
				if d := cmp.Diff(want, lines(t, src(), Config{Show: show, Jobs: jobs})); d != "" {
					t.Errorf("show %d, %d jobs (-1 job +%d jobs):\n%s", show, jobs, jobs, d)
				}
			}
		}
	}
	conversation := capturetest.MustParse(script)
	for i, w := range []capturetest.Wrap{
		{}, {MSS: 40}, {Double: true}, {Reorder: 3, MSS: 100}, {Drop: 0.1, DropSeed: 4}, {Loopback: true}, {Mix: true}, {HTTP2: true}, {Format: capturetest.HAR},
	} {
		t.Run(fmt.Sprint("wrap ", i), func(t *testing.T) {
			records := conversation.Wrap(w).Records
			check(t, func() capture.Source { return &tape{records: records} })
		})
	}
	for _, file := range shared(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			check(t, func() capture.Source {
				src, err := capture.Open([]string{file}, nil, capture.Options{})
				if err != nil {
					t.Fatal(err)
				}
				return src
			})
		})
	}
}

// shared is the real captures that lie beside the project, if they do.
func shared(t *testing.T) []string {
	dir, _ := os.Getwd()
	for range 6 {
		dir = filepath.Dir(dir)
		files, _ := filepath.Glob(filepath.Join(dir, "shared", "captures", "*.pcap"))
		hars, _ := filepath.Glob(filepath.Join(dir, "shared", "har", "*.har"))
		if files = append(files, hars...); len(files) > 0 {
			return files
		}
	}
	t.Log("the folder of real captures is absent: those cases are skipped")
	return nil
}

// The report holds what the script says.
func TestReport(t *testing.T) {
	got := lines(t, &tape{records: capturetest.MustParse(script).Records()}, Config{Version: "9"})
	for _, want := range []string{
		`{"run":{"schema":"1","tool":"mcp401","version":"9","inputs":[]}}`,
		`"verdict":"swallowed-401"`,
		`"finding":{"rule":"swallowed-401","severity":"error"`,
		`"verdict":"listed"`,
		`{"note":{"code":"capture/drops"`,
		`"cases":2,"by_verdict":{"listed":1,"swallowed-401":1},"findings":1,"lost":{"capture_drops":12,`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if n := strings.Count(got, `"finding":{`); n != 1 {
		t.Errorf("%d findings, want 1: a healthy case has none", n)
	}
}

// Cancelling is no error: what was read is judged and summed up.
func TestCancel(t *testing.T) {
	for _, jobs := range []int{1, 4} {
		ctx, cancel := context.WithCancel(context.Background())
		src := &tape{records: capturetest.MustParse(script).Records(), wait: make(chan struct{}), end: os.ErrClosed}
		time.AfterFunc(20*time.Millisecond, cancel)
		cases := 0
		summary, err := Run(ctx, src, Config{Jobs: jobs}, func(o report.Object) error {
			if o.Case != nil {
				cases++
			}
			return nil
		})
		if err != nil || summary.Cases != 2 || cases != 2 || summary.Records == 0 {
			t.Errorf("%d jobs: %v, %+v", jobs, err, summary)
		}
	}
}

// A batch that nobody fills goes out all the same: a case is told while the
// source waits for more.
func TestLiveCase(t *testing.T) {
	for _, jobs := range []int{1, 4} {
		src := &tape{records: capturetest.MustParse(script).Records(), wait: make(chan struct{})}
		told := make(chan bool, 10)
		done := make(chan error)
		go func() {
			_, err := Run(context.Background(), src, Config{Jobs: jobs}, func(o report.Object) error {
				if o.Case != nil {
					told <- true
				}
				return nil
			})
			done <- err
		}()
		select {
		case <-told:
		case <-time.After(time.Minute):
			t.Errorf("%d jobs: no case while the source waits", jobs)
		}
		src.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// An error of out ends the run at once, and is what Run returns.
func TestOutError(t *testing.T) {
	full := errors.New("disk full")
	for _, jobs := range []int{1, 4} {
		for at := range 5 {
			n := 0
			_, err := Run(context.Background(), &tape{records: capturetest.MustParse(script).Records()}, Config{Jobs: jobs}, func(report.Object) error {
				if n++; n > at {
					return full
				}
				return nil
			})
			if err != full || n != at+1 {
				t.Errorf("%d jobs, error at object %d: %v after %d", jobs, at+1, err, n)
			}
		}
	}
}

// What a source could not read is in the report, behind what it could.
func TestReadError(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, jobs := range []int{1, 4} {
		last := report.Object{}
		noted := false
		summary, err := Run(context.Background(), &tape{records: capturetest.MustParse(script).Records(), end: broken}, Config{Jobs: jobs}, func(o report.Object) error {
			noted = noted || o.Note != nil && o.Note.Code == "capture/error" && o.Note.Text == "disk on fire"
			last = o
			return nil
		})
		if err != broken || !noted || last.Summary == nil || summary.Cases != 2 {
			t.Errorf("%d jobs: %v, noted %t, summary %+v", jobs, err, noted, summary)
		}
		if _, err := Run(context.Background(), &tape{end: broken}, Config{Jobs: jobs}, func(report.Object) error { return nil }); err != broken {
			t.Errorf("%d jobs, nothing read: %v", jobs, err)
		}
	}
}

// Two captures that begin alike have the same hashes, others do not.
func TestKey(t *testing.T) {
	packet := func(s string) capture.Record { return capture.Record{Packet: &capture.Packet{Data: []byte(s)}} }
	entry := func(url string) capture.Record {
		return capture.Record{Entry: &capture.Entry{URL: url, Request: []capture.Field{{Name: "a", Value: "b"}}}}
	}
	secret := func(s string) capture.Record { return capture.Record{Secret: &capture.Secret{Lines: []byte(s)}} }
	all := map[string]bool{}
	for _, r := range []capture.Record{packet("a"), packet("b"), entry("a"), entry("b"), secret("a"), secret("b")} {
		if !bytes.Equal(key(r), key(r)) {
			t.Error("not the same twice")
		}
		all[string(key(r))] = true
	}
	if len(all) != 6 {
		t.Errorf("%d keys of 6 records", len(all))
	}
}

func collect(what Show) (*shower, *[]int) {
	var frames []int
	s := newShower(what, func(o report.Object) {
		if o.Exchange != nil {
			frames = append(frames, o.Exchange.Frame)
		} else {
			frames = append(frames, o.Message.Frame)
		}
	})
	return s, &frames
}

// Exchanges come in order of their first frame, though a stream ends last.
func TestExchangesInOrder(t *testing.T) {
	s, frames := collect(Exchanges)
	phase := func(frame int, p mcp.Phase, answers ...mcp.Message) {
		x := &mcp.Exchange{Kind: mcp.RPC, Phase: p, Asked: decode.Mark{Frame: frame}, Answers: answers}
		x.ID.Flow = frame
		s.event(stack.Event{Exchange: x})
	}
	phase(2, mcp.Asked)
	phase(2, mcp.Closed)
	phase(3, mcp.Asked)
	phase(1, mcp.Asked)
	phase(1, mcp.Told, mcp.Message{Kind: mcp.Result, Count: 2})
	phase(1, mcp.Closed)
	s.close()
	if d := cmp.Diff([]int{1, 2, 3}, *frames); d != "" {
		t.Error(d)
	}
}

// What an exchange was told before its end is shown too, and no more than a
// few answers are kept of a stream that never ends.
func TestExchangeKeepsAnswers(t *testing.T) {
	var got *report.Exchange
	s := newShower(Exchanges, func(o report.Object) { got = o.Exchange })
	x := &mcp.Exchange{Kind: mcp.Stream, Phase: mcp.Asked, Asked: decode.Mark{Frame: 1}}
	s.event(stack.Event{Exchange: x})
	for i := range 100 {
		s.event(stack.Event{Exchange: &mcp.Exchange{Kind: mcp.Stream, Phase: mcp.Told, Asked: x.Asked, Answers: []mcp.Message{{Kind: mcp.Result, Count: i}}}})
	}
	if n := len(s.rows[0].exchange.Answers); n != answersKept {
		t.Errorf("%d answers kept", n)
	}
	s.event(stack.Event{Exchange: &mcp.Exchange{Kind: mcp.Stream, Phase: mcp.Closed, Asked: x.Asked}})
	s.close()
	if got == nil || got.Tools == nil {
		t.Errorf("shown: %+v", got)
	}
}

// A stream that never ends holds up no more than a window of others.
func TestShowWindow(t *testing.T) {
	s, frames := collect(Exchanges)
	for i := range showWindow + 10 {
		x := &mcp.Exchange{Kind: mcp.RPC, Phase: mcp.Asked, Asked: decode.Mark{Frame: i + 1}}
		x.ID.Flow = i + 1
		s.event(stack.Event{Exchange: x})
		if i == 0 {
			continue
		}
		closed := *x
		closed.Phase = mcp.Closed
		s.event(stack.Event{Exchange: &closed})
	}
	if len(*frames) < 10 || len(s.rows) > showWindow {
		t.Errorf("%d shown, %d wait", len(*frames), len(s.rows))
	}
	s.close()
	for i, f := range *frames {
		if f != i+1 {
			t.Fatalf("place %d: frame %d", i+1, f)
		}
	}
}

// Messages come in order of their first frame within the window.
func TestMessagesInOrder(t *testing.T) {
	s, frames := collect(Messages)
	for _, f := range []int{4, 2, 9, 1} {
		s.event(stack.Event{Message: &stack.Message{Frame: f}})
		s.event(stack.Event{Exchange: &mcp.Exchange{Kind: mcp.RPC}})
	}
	s.close()
	if d := cmp.Diff([]int{1, 2, 4, 9}, *frames); d != "" {
		t.Error(d)
	}
}

// Notes are told apart by code, counted, and bounded.
func TestNotes(t *testing.T) {
	j := newJudge(Config{}, func(report.Object) error { return nil })
	for i := range 3 * noteCodes {
		j.note(decode.Note{Code: fmt.Sprint("x/", i%(noteCodes+50)), At: decode.Mark{Frame: i + 1}})
	}
	j.note(decode.Note{Code: "limit/body"})
	got := j.sortedNotes()
	if len(got) != noteCodes || got[0].Code != "x/0" || got[0].Frame != 1 || got[0].Count != 3 {
		t.Errorf("%d notes, first %+v", len(got), got[0])
	}
	if j.summary.Lost.Limits != 1 {
		t.Error("a limit that was passed is not counted")
	}
}
