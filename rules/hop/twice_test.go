package hop

import (
	"net/netip"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/stack"
)

// A connection is known again by its print, for as long as the bound allows,
// and only where both began at about the same time.
func TestAgain(t *testing.T) {
	var notes []decode.Note
	cfg := Config{Note: func(n decode.Note) { notes = append(notes, n) }, Gateways: []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:4000")}}
	cfg.Limits.Sessions = 4
	l := NewLinker(cfg, nil)
	start := time.Unix(1_700_000_000, 0)
	flow := func(first int, print uint64, server string, after time.Duration) *stack.Event {
		f := decode.Flow{First: first, Start: start.Add(after), Server: netip.MustParseAddrPort(server), Print: print}
		return &stack.Event{Connection: &stack.Connection{Flow: f, How: decode.Fin}}
	}
	for i, c := range []struct {
		e    *stack.Event
		want bool
	}{
		{flow(1, 7, "192.0.2.1:80", 0), false},
		{flow(1, 7, "192.0.2.1:80", 0), false},                    // itself
		{flow(2, 7, "10.0.0.9:4000", time.Millisecond), true},     // behind a translation
		{flow(3, 7, "10.0.0.9:4000", 2*time.Second), false},       // much later
		{flow(4, 0, "10.0.0.9:4000", 0), false},                   // no print
		{flow(5, 8, "10.0.0.9:4000", 0), false},                   // another
		{flow(6, 7, "192.0.2.1:80", -500*time.Millisecond), true}, // the other clock is behind
		{&stack.Event{Note: &decode.Note{}}, false},
	} {
		if got := l.again(c.e); got != c.want {
			t.Errorf("event %d: %t", i, got)
		}
	}
	if len(notes) != 2 || notes[0].Code != "tcp/twice" || notes[0].At.Frame != 2 {
		t.Errorf("noted: %+v", notes)
	}
	srv := l.server(netip.MustParseAddrPort("192.0.2.1:80"))
	if !srv.hosts[netip.MustParseAddr("10.0.0.9")] || !srv.gateway {
		t.Errorf("what is behind the translation is not the same server: %+v", srv)
	}
	for i := range uint64(100) {
		l.again(flow(100+int(i), 100+i, "192.0.2.1:80", 0))
	}
	if len(l.sights.by) != 4 || len(l.sights.order) != 4 {
		t.Errorf("%d connections are remembered", len(l.sights.by))
	}
	if l.again(flow(2, 7, "10.0.0.9:4000", 0)) {
		t.Error("what was forgotten is known")
	}
}
