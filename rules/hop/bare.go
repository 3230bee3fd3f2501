package hop

import (
	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// A bare connection was refused, never answered, or failed in its handshake.
// It shows no MCP, so that a gateway on loopback cannot be told by it from
// any other program of the machine.

// plausible reports whether a bare connection may be an attempt of a demand:
// it comes from an address that is the gateway's alone, or goes where a server
// is known to be, or one of the servers in scope was not asked otherwise, or
// it is all there is to explain that the client got nothing.
func (l *Linker) plausible(d *demand, s *supply) bool {
	if l.owned(d, s) {
		return true
	}
	if len(d.names) > 1 {
		return d.asked > 0 && d.asked < len(d.names) // one of those in scope was asked otherwise
	}
	return d.asked == 0 && d.fruitless()
}

// owned reports whether a bare connection shows itself as the gateway's: by the
// address it comes from, or by where it goes.
func (l *Linker) owned(d *demand, s *supply) bool {
	if s.host == d.srv.addr.Addr() && !s.host.IsLoopback() || d.srv.hosts[s.host] {
		return true
	}
	u := l.servers[s.end.addr]
	return u != nil && u.upstream > 0 || d.srv.reaches(s, d.names)
}

// reaches reports whether one of the names, or of all names where there are
// none, is known to be reached where the attempt went.
func (s *server) reaches(a *supply, names []string) bool {
	for _, n := range names {
		if yes, _ := s.names[n].at(a); yes {
			return true
		}
	}
	if len(names) > 0 || len(s.names) > 64 {
		return false
	}
	for n := range s.names {
		if yes, _ := s.names[n].at(a); yes {
			return true
		}
	}
	return false
}

// fruitless reports whether the client got nothing, and not because of its own
// key.
func (d *demand) fruitless() bool {
	c := d.call
	switch {
	case c.Outcome == pair.Refused, c.Outcome == pair.Answered && c.Status() >= 300:
		return c.Status() > 500
	case c.Outcome != pair.Answered:
		return false
	case d.kind == LLM:
		return c.Exchange.REST == nil || c.Exchange.REST.MCPTools <= 0
	case c.Answer != nil && (c.Answer.Kind == mcp.Error || c.Answer.IsError):
		return true
	case c.Exchange != nil && c.Exchange.REST != nil && c.Exchange.REST.Error != "":
		return UpstreamFault(c.Exchange.REST)
	case c.Exchange != nil && c.Exchange.REST != nil && c.Exchange.REST.IsError:
		return true
	}
	_, n := answer(c)
	return n == 0
}
