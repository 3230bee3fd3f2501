package hop

import (
	"net/netip"

	"mcp401/decode"
	"mcp401/decode/stack"
)

// A sight is a connection that was seen, by its print.
type sight struct {
	first  int
	start  instant
	server netip.AddrPort
}

// sights remembers the connections seen last. The same connection is in a
// capture twice where that was taken on both sides of an address translation,
// inside and outside of a tunnel, or on all interfaces of a host that forwards.
type sights struct {
	by    map[uint64]sight
	order []uint64 // ring: the next to be forgotten is at next
	next  int
}

// twinGap is how far apart the two copies of a connection may begin: a
// translation takes microseconds, the clocks of merged captures may differ.
const twinGap = instant(1e9)

// again reports whether an event is of a connection that is known by another
// flow, and learns from it that its gateway has another address.
func (l *Linker) again(e *stack.Event) bool {
	var f *decode.Flow
	switch {
	case e.Exchange != nil && !e.Exchange.HAR:
		f = &e.Exchange.Flow
	case e.Connection != nil:
		f = &e.Connection.Flow
	}
	if f == nil || f.Print == 0 {
		return false
	}
	t, known := l.sights.by[f.Print]
	switch start := instantOf(f.Start); {
	case !known:
		l.sights.add(f.Print, sight{f.First, start, f.Server}, l.lim.Sessions)
		return false
	case t.first == f.First, start-t.start > twinGap, t.start-start > twinGap:
		return false
	}
	if t.server != f.Server {
		l.translated(t.server, f.Server)
	}
	if e.Connection != nil && e.Connection.How != 0 && l.cfg.Note != nil {
		l.cfg.Note(decode.Note{Code: "tcp/twice", At: decode.Mark{Frame: f.First, Time: f.Start}, Flow: f.First, N: t.first, Text: "connection captured twice, under other addresses or tags: counted once"})
	}
	return true
}

// translated takes that one server is reached at two addresses.
func (l *Linker) translated(kept, other netip.AddrPort) {
	srv := l.server(kept)
	if len(srv.hosts) <= 16 && other.Addr() != kept.Addr() {
		srv.hosts[other.Addr()] = true
	}
	for _, g := range l.cfg.Gateways {
		if sameAddr(g, other) {
			srv.named = true
			l.promote(srv)
		}
	}
}

func (s *sights) add(print uint64, v sight, most int) {
	if s.by == nil {
		s.by = map[uint64]sight{}
	}
	if len(s.order) < most {
		s.order = append(s.order, print)
	} else {
		delete(s.by, s.order[s.next])
		s.order[s.next] = print
		s.next = (s.next + 1) % most
	}
	s.by[print] = v
}
