package live

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"mcp401/rules/report"
)

// A Lines writes a report as it goes on: one line for each new finding, and
// the counts at the end. It is a report.Writer.
type Lines struct {
	w     io.Writer
	width int // columns; 0: lines are as long as they are
	zone  *time.Location
	fresh Fresh
	last  *report.Case
}

// NewLines returns a writer to w, a terminal with that many columns or, with 0,
// none, with times in that zone, nil for UTC. A finding of the same kind is said
// again after every.
func NewLines(w io.Writer, width int, zone *time.Location, every time.Duration) *Lines {
	return &Lines{w: w, width: width, zone: cmp.Or(zone, time.UTC), fresh: Fresh{Every: every}}
}

// Write takes the next object.
func (l *Lines) Write(o report.Object) error {
	var err error
	switch {
	case o.Case != nil:
		l.last = o.Case
	case o.Finding != nil && l.last != nil:
		at := l.last.Time.Time
		if kept, isNew := l.fresh.New(o.Finding, at); isNew {
			text := line(l.last, o.Finding, at.In(l.zone), kept)
			if l.width > 0 {
				text = clip(text, l.width-1)
			}
			_, err = fmt.Fprintln(l.w, text)
		}
	case o.Summary != nil:
		_, err = fmt.Fprintln(l.w, closing(o.Summary))
	}
	return err
}

// Close has nothing to finish.
func (l *Lines) Close() error { return nil }

// line is a finding in one line.
func line(c *report.Case, f *report.Finding, at time.Time, kept int) string {
	parts := []string{at.Format(time.TimeOnly), f.Rule, cmp.Or(f.Cause, f.Failure), fmt.Sprintf("frame %d", c.Frame)}
	if kept > 0 {
		parts = append(parts, fmt.Sprintf("[%d more like it before]", kept))
	}
	parts = append(parts, f.Text, fmt.Sprintf("(%s %s, client %s)", c.HTTPMethod, c.Path, c.Client))
	parts = slices.DeleteFunc(parts, func(s string) bool { return s == "" })
	return visible(strings.Join(parts, "  "))
}

// closing is the counts in one line.
func closing(s *report.Summary) string {
	verdicts := slices.SortedFunc(maps.Keys(s.ByVerdict), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.ByVerdict[b], s.ByVerdict[a]), cmp.Compare(a, b))
	})
	for i, v := range verdicts {
		verdicts[i] = fmt.Sprintf("%d %s", s.ByVerdict[v], v)
	}
	text := fmt.Sprintf("calls: %d", s.Cases)
	if len(verdicts) > 0 {
		text += " (" + strings.Join(verdicts, ", ") + ")"
	}
	if s.LeftOut > 0 {
		text += fmt.Sprintf("; left out by --where: %d", s.LeftOut)
	}
	return fmt.Sprintf("%s; packets: %d, connections: %d; %s", text, s.Records, s.Flows, lost(s.Lost))
}

// lost words what the capture does not show.
func lost(l report.Lost) string {
	var parts []string
	for _, p := range []struct {
		n    uint64
		what string
	}{
		{l.CaptureDrops, "dropped by the capture"},
		{uint64(l.Gaps), "holes"},
		{uint64(l.UndecryptedFlows), "connections not decrypted"},
		{uint64(l.Limits), "limits hit"},
	} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "nothing lost")
}

// visible keeps what others wrote from steering the terminal, and on one line.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}
