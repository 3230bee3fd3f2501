package rulestest

import (
	"mcp401/capture"
	"mcp401/decode/stack"
	"mcp401/rules/hop"
)

// Cases joins the hops of a capture, as the program does, and gives each case
// to emit.
func Cases(records []capture.Record, cfg hop.Config, emit func(*hop.Case)) {
	l := hop.NewLinker(cfg, emit)
	var found []stack.Event
	d := stack.New(stack.Config{Limits: cfg.Limits}, func(e stack.Event) { found = append(found, e) })
	give := func(har, secret bool) {
		if !har {
			stack.Sort(found, secret)
		}
		for _, e := range found {
			l.Event(e)
		}
		found = found[:0]
	}
	har := false
	for _, r := range records {
		d.Record(r)
		if !r.Time.IsZero() {
			d.Tick(r.Time)
		}
		if r.Loss != nil {
			l.Loss(mark(r))
		}
		har = har || r.Entry != nil
		give(har, r.Secret != nil)
		if r.Packet != nil {
			l.Tick(r.Time)
		}
	}
	d.Close()
	give(har, false)
	l.Close()
}
