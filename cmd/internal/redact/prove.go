package redact

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"mcp401/capture"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/inet"
	"mcp401/decode/tcp"
	"mcp401/rules/report"
)

// A Leak is a credential that is still there.
type Leak struct{ where string }

func (l *Leak) Error() string {
	return "a credential is still in it, " + l.where + ": no file is left"
}

// prove analyses what was made, and searches it for every credential.
func prove(before []Judged, out string, seen *Secrets, n *numbers) error {
	for i, part := range seen.batches() {
		src, err := capture.Open([]string{out}, nil, capture.Options{})
		if err != nil {
			return err
		}
		b := bodies{seen: part, open: map[body]*search{}}
		after, err := verdicts(src, b.event)
		if err != nil {
			return err
		}
		if i == 0 {
			if err := same(before, after, n); err != nil {
				return err
			}
		}
		if b.hit != nil {
			return b.hit
		}
		if err := searchFor(out, part); err != nil {
			return err
		}
	}
	return nil
}

// bodies searches the content of HTTP messages, of whatever version and in
// whatever chunks, as it is decoded for the analysis.
type bodies struct {
	seen *Secrets
	open map[body]*search
	hit  *Leak
}

type body struct {
	id  httpmsg.ID
	dir decode.Dir
}

func (b *bodies) event(f *decode.Flow, e *httpmsg.Event) {
	k := body{e.ID, e.Dir}
	s := b.open[k]
	switch e.Kind {
	case httpmsg.Body:
		if s == nil {
			s = b.seen.newSearch()
			b.open[k] = s
		}
		s.Write(e.Data)
	case httpmsg.Done, httpmsg.Cut:
		if s == nil {
			return
		}
		if s.Close(); s.hit {
			b.hit = &Leak{fmt.Sprintf("in a body of the connection of frame %d", f.First)}
		}
		delete(b.open, k)
	}
}

// A Judged is what a report says of one call.
type Judged struct {
	Frame          int
	Verdict, Cause string
}

// Verdicts analyses a capture, which it closes.
func Verdicts(src capture.Source) ([]Judged, error) { return verdicts(src, nil) }

// verdicts is Verdicts for who wants to see the HTTP events too.
func verdicts(src capture.Source, http func(*decode.Flow, *httpmsg.Event)) ([]Judged, error) {
	var list []Judged
	words := map[string]string{} // one copy of each
	once := func(s string) string {
		if _, ok := words[s]; !ok {
			words[s] = s
		}
		return words[s]
	}
	_, err := pipeline.Run(context.Background(), src, pipeline.Config{HTTP: http}, func(o report.Object) error {
		if o.Case != nil {
			list = append(list, Judged{o.Case.Frame, once(o.Case.Verdict), once(o.Case.Cause)})
		}
		return nil
	})
	if err != nil && len(list) == 0 && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return list, nil
}

// same compares two analyses: to each call of the one there must be a call of
// the other in the same frame, as frames are numbered now, with the same
// verdict and cause.
func same(before, after []Judged, n *numbers) error {
	left := map[Judged]int{}
	for _, j := range after {
		left[j]++
	}
	for _, want := range before {
		places := append([]int{n.of(want.Frame)}, n.shifted[want.Frame]...)
		found := false
		for _, frame := range places {
			got := want
			if got.Frame = frame; left[got] > 0 {
				left[got]--
				found = true
				break
			}
		}
		if !found {
			var got Judged
			for _, j := range after {
				if slices.Contains(places, j.Frame) && left[j] > 0 {
					got = j
				}
			}
			return differs(want, got)
		}
	}
	for _, j := range after {
		if left[j] > 0 {
			return differs(Judged{Frame: j.Frame}, j)
		}
	}
	return nil
}

func differs(want, got Judged) error {
	name := func(j Judged) string {
		switch {
		case j.Verdict == "":
			return "no case"
		case j.Cause != "":
			return j.Verdict + ", " + j.Cause
		}
		return j.Verdict
	}
	err := refuse(
		"mcp401 har IN -o OUT.har writes both hops as a HAR, which holds no holes and no refused connections",
		"masked, frame %d would be %s instead of %s: no file is left", want.Frame, name(got), name(want),
	)
	err.why = errors.Join(errPlace, errDiffers)
	return err
}

// errDiffers is that a verdict would be another one.
var errDiffers = errors.New("a verdict differs")

// Search looks for every credential in the bytes of a capture file, in the
// streams that it makes, and in the entries of a HAR. One that it finds is an
// error.
func Search(name string, seen *Secrets) error {
	for _, part := range seen.batches() {
		if err := searchFor(name, part); err != nil {
			return err
		}
	}
	return nil
}

func searchFor(name string, seen *Secrets) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	s := seen.newSearch()
	if _, err := io.Copy(s, bufio.NewReaderSize(f, 256<<10)); err != nil {
		return err
	}
	s.Close()
	if s.hit {
		return &Leak{"in its bytes"}
	}
	src, err := capture.Open([]string{name}, nil, capture.Options{})
	if err != nil {
		return err
	}
	defer src.Close()
	l := &looker{seen: seen}
	dec, table := inet.New(decode.Limits{}, nil), tcp.NewTable(decode.Limits{}, l.open, nil)
	var at decode.Mark
	for {
		r, err := src.Next()
		if err != nil {
			break
		}
		at = decode.Mark{Frame: r.Num, Time: r.Time}
		switch {
		case r.Entry != nil:
			l.entry(r.Entry, r.Num)
		case r.Packet == nil:
		default:
			if s, ok := dec.Segment(at, r.Packet); ok {
				table.Segment(at, &s)
			} else {
				table.Pass(at.Time)
			}
		}
	}
	table.Close(at)
	if l.hit != nil {
		return l.hit
	}
	return nil
}

// A looker searches what a capture means.
type looker struct {
	seen *Secrets
	hit  *Leak
}

func (l *looker) found(s *search, where string, n int) {
	s.Close()
	if s.hit && l.hit == nil {
		l.hit = &Leak{fmt.Sprintf("%s of frame %d", where, n)}
	}
}

func (l *looker) look(b []byte, where string, n int) {
	s := l.seen.newSearch()
	s.Write(b)
	l.found(s, where, n)
}

// entry searches the bodies of a HAR entry, base64 undone.
func (l *looker) entry(e *capture.Entry, n int) {
	l.look([]byte(e.URL), "in the URL", n)
	for _, b := range []*capture.Body{e.Body, e.Content} {
		if b != nil {
			l.look(b.Data, "in a body", n)
		}
	}
	for _, fs := range [][]capture.Field{e.Request, e.Response} {
		for _, f := range fs {
			l.look([]byte(f.Value), "in a header field", n)
		}
	}
	for _, v := range e.Events {
		l.look([]byte(v.Data), "in an event", n)
	}
}

// A looking is one connection whose streams are searched.
type looking struct {
	l      *looker
	flow   decode.Flow
	stream [2]*search
}

func (l *looker) open(f decode.Flow) decode.Conn {
	return &looking{l: l, flow: f, stream: [2]*search{l.seen.newSearch(), l.seen.newSearch()}}
}

func (c *looking) Data(d decode.Dir, at decode.Mark, p []byte) { c.stream[d].Write(p) }

func (c *looking) Gap(d decode.Dir, at decode.Mark, n int) {
	c.l.found(c.stream[d], "in the connection", c.flow.First)
	c.stream[d] = c.l.seen.newSearch()
}

func (c *looking) End(d decode.Dir, at decode.Mark, why decode.End) {
	c.l.found(c.stream[d], "in the connection", c.flow.First)
}
