package cli

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"mcp401/capture"
	"mcp401/cmd/internal/pipeline"
	"mcp401/decode"
)

// attend has what happens to a run said on standard error: interfaces that come
// and go, packets that are dropped, limits that are hit, a clock that is set, a
// webhook or a collector that cannot be reached; each when it begins, and when it
// is over.
func attend(src capture.Source, s *session, warn func(error)) {
	s.watch.Note = func(n decode.Note) {
		if err := noted(n); err != nil {
			warn(err)
		}
	}
	links := linksOf(src, s.wire.names())
	var elsewhere []*outage
	if s.tell != nil && s.tell.webhook != nil {
		elsewhere = append(elsewhere, &outage{name: "--webhook", what: "messages", fault: s.tell.webhook.Fault})
	}
	if s.tell != nil && s.tell.traces != nil {
		elsewhere = append(elsewhere, &outage{name: "--otlp", what: "spans", fault: s.tell.traces.Fault})
	}
	beat := s.watch.Beat
	s.watch.Beat = func(b pipeline.Beat) {
		links.look(warn)
		for _, o := range elsewhere {
			o.look(warn)
		}
		if beat != nil {
			beat(b)
		}
	}
	if live, ok := src.(*capture.LiveSource); ok && s.tell != nil {
		s.tell.state.Capture, s.tell.state.Links = live.Stats, links.all
	}
}

// An outage is of what is told of a run elsewhere: said when it begins, and when
// it is over.
type outage struct {
	name, what string
	fault      func() error
	said       error
}

func (o *outage) look(warn func(error)) {
	now := o.fault()
	switch {
	case now != nil && o.said == nil:
		warn(fmt.Errorf("%s: %s are lost, and capturing goes on: %w", o.name, o.what, now))
	case now == nil && o.said != nil:
		warn(fmt.Errorf("%s: %s are sent again", o.name, o.what))
	}
	o.said = now
}

// noted is what is said of a note at once; nil: nothing, it stands in the
// summary.
func noted(n decode.Note) error {
	switch {
	case n.Code == "capture/clock-step":
		return fmt.Errorf("%s (%v)", n.Text, time.Duration(n.N)*time.Millisecond)
	case n.Code == "capture/drops":
		return hinted(fmt.Errorf("the capture dropped %d packets: no call that they may belong to is accused; the summary counts all", n.N), "a larger --buffer-size, or a narrower filter")
	case strings.HasPrefix(n.Code, "limit/"):
		return fmt.Errorf("%s: %s; the summary counts how often", n.Code, n.Text)
	}
	return nil
}

// A links is which interfaces are up.
type links struct {
	src *capture.LiveSource // nil: there are none
	mu  sync.Mutex
	up  map[string]bool
}

func linksOf(src capture.Source, names []string) *links {
	l := &links{up: map[string]bool{}}
	if l.src, _ = src.(*capture.LiveSource); l.src != nil {
		for _, name := range names {
			l.up[name] = true
		}
	}
	return l
}

// look says what became of interfaces.
func (l *links) look(warn func(error)) {
	if l.src == nil {
		return
	}
	for _, c := range l.src.Changes() {
		l.mu.Lock()
		l.up[c.Interface] = c.State == capture.Up
		l.mu.Unlock()
		switch c.State {
		case capture.Up:
			warn(fmt.Errorf("%s: the interface is up again", c.Interface))
		case capture.Down:
			warn(fmt.Errorf("%s: the interface is down: nothing is captured on it until it is up", c.Interface))
		case capture.Gone:
			warn(fmt.Errorf("%s: the interface is gone: nothing is captured on it until there is one of that name", c.Interface))
		}
	}
}

// all returns the interfaces and whether they are up.
func (l *links) all() map[string]bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := map[string]bool{}
	for name, up := range l.up {
		now[name] = up
	}
	return now
}

// warner is warn with the board taken away while a line is written.
func (t *teller) warner(warn func(error)) func(error) {
	if t == nil || t.view == nil {
		return warn
	}
	return func(err error) {
		io.WriteString(t.view.w, t.view.up())
		t.view.drawn = 0
		warn(err)
	}
}
