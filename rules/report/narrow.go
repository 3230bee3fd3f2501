package report

import (
	"fmt"
	"maps"
)

// A narrowed passes on what a condition chooses. A case waits for the finding
// that may follow it, which names servers.
type narrowed struct {
	of       *Condition
	write    func(Object) error
	last     *Case // not decided yet
	cases    int
	verdicts map[string]int
	findings int
	known    int
	left     int
}

// Narrow returns write for objects that the condition has chosen: cases with
// their findings, and lines of a list. The summary that is written counts those
// alone, and says how many calls were left out. A nil condition chooses all.
//
// It may keep a case until its next object comes.
func (c *Condition) Narrow(write func(Object) error) func(Object) error {
	if c == nil {
		return write
	}
	n := &narrowed{of: c, write: write, verdicts: map[string]int{}}
	return n.take
}

func (n *narrowed) take(o Object) error {
	switch {
	case o.Case != nil:
		err := n.decide(nil)
		n.last = o.Case
		if err == nil && o.Case.Severity == "ok" { // no finding comes
			err = n.decide(nil)
		}
		return err
	case o.Finding != nil:
		return n.decide(o.Finding)
	}
	if err := n.decide(nil); err != nil {
		return err
	}
	switch {
	case o.Summary != nil:
		o.Summary = n.summary(o.Summary)
	case o.Exchange != nil, o.Message != nil:
		if !n.of.fits(&chosen{Case: listed(o)}) {
			return nil
		}
	}
	return n.write(o)
}

// decide writes the case that waits, if it is chosen, and its finding.
func (n *narrowed) decide(f *Finding) error {
	c := n.last
	n.last = nil
	if c == nil {
		return nil
	}
	if !n.of.fits(&chosen{Case: c, finding: f}) {
		n.left++
		return nil
	}
	n.cases++
	n.verdicts[c.Verdict]++
	if err := n.write(Object{Case: c}); err != nil || f == nil {
		return err
	}
	n.findings++
	if f.Known {
		n.known++
	}
	return n.write(Object{Finding: f})
}

// summary is s of what was chosen. What had been left out before stays out.
func (n *narrowed) summary(s *Summary) *Summary {
	v := *s
	v.Cases, v.Findings, v.Known, v.ByVerdict = n.cases, n.findings, n.known, maps.Clone(n.verdicts)
	v.LeftOut += n.left
	if v.Where = n.of.text; s.Where != "" {
		v.Where = fmt.Sprintf("(%s) && (%s)", s.Where, n.of.text)
	}
	return &v
}

// listed is a line of a list as what a condition looks at.
func listed(o Object) *Case {
	if x := o.Exchange; x != nil {
		return &Case{Frame: x.Frame, Client: x.Client, Servers: []string{x.Server}, Path: x.Path, Kind: x.Kind, Status: x.Status, Tools: x.Tools}
	}
	m := o.Message
	c := &Case{Frame: m.Frame, Client: m.Src, Servers: []string{m.Dst}, Path: deref(m.URI), Kind: m.Kind, Status: m.Status}
	if m.Kind == "response" {
		c.Client, c.Servers = m.Dst, []string{m.Src}
	}
	return c
}
