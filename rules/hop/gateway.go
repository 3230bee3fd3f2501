package hop

import (
	"maps"
	"net/netip"
	"slices"

	"mcp401/decode/mcp"
)

// A server is an address that was asked, and what is known of it.
type server struct {
	addr    netip.AddrPort
	profile *profile
	version string

	gateway  bool // it shows itself as one, or the user says so, or attempts were seen inside its calls
	guessed  bool // it is one by a single call, in a capture that goes on: what follows may tell otherwise
	listed   bool // it is in Linker.gateways
	named    bool // by the user, one way or the other: nothing is learned
	upstream int  // attempts at it that belong to another server's calls
	nests    int  // its calls that held an attempt of its host elsewhere
	enclosed int  // its calls that lie inside a call of another server
	served   int  // attempts that its calls have

	names map[string]*name
	homes map[endpoint]string // endpoints that are known to be a name's
	known []string            // those of them of which it became known where they are reached, sorted
	hosts map[netip.Addr]bool // other addresses that its attempts come from
	keys  map[string]bool     // hashes of its own keys
}

func (l *Linker) server(addr netip.AddrPort) *server {
	s := l.servers[addr]
	if s != nil {
		return s
	}
	s = &server{addr: addr, profile: general, names: map[string]*name{}, homes: map[endpoint]string{}, hosts: map[netip.Addr]bool{}, keys: map[string]bool{}}
	for _, a := range l.cfg.Gateways {
		if sameAddr(a, addr) {
			s.named = true
			l.promote(s)
		}
	}
	for _, a := range l.cfg.Upstreams {
		if sameAddr(a, addr) {
			s.named, s.upstream = true, 1
		}
	}
	l.servers[addr] = s
	l.seen = append(l.seen, addr)
	l.boundServers()
	return s
}

// boundServers forgets the servers that were seen first, but for gateways, as
// far as a few of them are not.
func (l *Linker) boundServers() {
	for tries := 0; len(l.seen) > l.lim.Sessions && tries < 16; tries++ {
		addr := l.seen[0]
		l.seen = l.seen[1:]
		if o := l.servers[addr]; o.gateway || o.named {
			l.seen = append(l.seen, addr)
		} else {
			delete(l.servers, addr)
		}
	}
}

func sameAddr(named, seen netip.AddrPort) bool {
	return named.Port() == seen.Port() && (named.Addr().IsUnspecified() && named.Addr().Zone() == "" || named.Addr() == seen.Addr())
}

func (l *Linker) host(a netip.Addr) *host {
	h := l.hosts[a]
	if h == nil {
		if len(l.hosts) >= l.lim.Sessions {
			clear(l.hosts)
		}
		h = &host{}
		l.hosts[a] = h
	}
	return h
}

// recognise notes what an exchange shows of the products on its two sides.
func (l *Linker) recognise(x *mcp.Exchange) {
	srv := l.server(x.Flow.Server)
	was := srv.gateway
	for i := range profiles {
		p := &profiles[i]
		if v, ok := p.gateway(x); ok {
			if !srv.named || srv.gateway {
				srv.profile = p
				l.promote(srv)
			}
			if v != "" {
				srv.version = v
			}
		}
		if v, ok := p.origin(x); ok {
			h := l.host(x.Flow.Client.Addr())
			h.origin, h.version = p, v
		}
	}
	if srv.gateway && (x.Phase == mcp.Asked || !was) { // the answer may be the first to show what it is
		if k := srv.profile.key(x); k != nil && len(srv.keys) < l.lim.Sessions && isKey(x, k) {
			srv.keys[k.Hash] = true
		}
	}
	if x.REST != nil {
		for _, e := range x.REST.Listing {
			srv.inventory(e)
		}
	}
}

// isKey reports whether a credential is the gateway's own key: by the field
// that only a key stands in, by its look, or by a route that no upstream's
// credential is sent to.
func isKey(x *mcp.Exchange, k *mcp.Credential) bool {
	return k.Header != "authorization" || k.Class == "sk-" || x.Kind != mcp.RPC
}

// fromHost reports whether the gateway may have sent what came from that host:
// its own address, one that was learned, or any when either is a loopback
// address, because then both are on the machine of the capture.
func (s *server) fromHost(host netip.Addr, har bool) bool {
	return har || host == s.addr.Addr() || s.hosts[host] || host.IsLoopback() || s.addr.Addr().IsLoopback() || s.addr.Addr().IsUnspecified()
}

// chained reports whether a call to a gateway may itself be an attempt of
// another gateway: it comes from that one's address.
func (l *Linker) chained(srv *server, client netip.Addr) bool {
	if client.IsLoopback() || client == srv.addr.Addr() {
		return false
	}
	for _, g := range l.gateways {
		if g != srv && g.addr.Addr() == client {
			return true
		}
	}
	return false
}

// promote makes a server a gateway.
func (l *Linker) promote(s *server) {
	s.gateway, s.guessed = true, false
	if !s.listed {
		s.listed = true
		l.gateways = append(l.gateways, s)
		for _, n := range slices.Sorted(maps.Keys(l.cfg.Names)) {
			s.inventory(mcp.Server{Name: n, Alias: l.cfg.Names[n].Alias, URL: l.cfg.Names[n].URL})
		}
		l.changed = true
	}
}

// role says what a demand's server is: a gateway, or not, or nobody knows yet.
func (l *Linker) role(d *demand, window []*supply, final bool) (gateway, known bool) {
	s := d.srv
	if s.gateway && !s.guessed {
		return true, true
	}
	if s.upstream > 0 || s.named {
		return false, true
	}
	if !d.counted {
		d.counted = true
		l.nesting(d, window)
	}
	switch {
	case s.guessed && s.enclosed > 0:
		l.demote(s)
		return false, true
	case s.nests >= 2 && s.enclosed == 0 && !l.guessing():
		l.promote(s)
		return true, true
	case s.guessed:
		return true, true
	case final && s.nests > 0 && s.enclosed == 0 && (l.cfg.Hold == 0 || !l.beside(d)):
		l.promote(s)
		s.guessed = l.cfg.Hold > 0
		return true, true
	case !final:
		return false, false
	case s.enclosed > 0:
		return false, true
	}
	// Nothing tells. Beside a known gateway it is taken for one of its
	// upstreams, asked outside of any call; alone it is what the capture is
	// about.
	return !l.beside(d), true
}

// demote takes back what was guessed of a server.
func (l *Linker) demote(s *server) {
	s.gateway, s.guessed, s.listed = false, false, false
	l.gateways = slices.DeleteFunc(l.gateways, func(g *server) bool { return g == s })
	l.changed = true
}

// beside reports whether a demand may be what a known gateway asked: a gateway
// lists its upstreams when it starts, and tests their health, beside each other
// and outside of any call.
func (l *Linker) beside(d *demand) bool {
	for _, g := range l.gateways {
		if g.fromHost(d.call.Asked.Flow.Client.Addr(), d.call.Asked.HAR) {
			return true
		}
	}
	return l.guessing()
}

// guessing reports whether a server would be taken for a gateway by how calls
// lie in time although the user has named others, in a capture that goes on:
// then what is taken for granted wrongly is never set right.
func (l *Linker) guessing() bool { return l.cfg.Hold > 0 && len(l.cfg.Gateways) > 0 }

// nesting counts for a server whether its calls hold attempts, or lie inside
// the calls of another.
func (l *Linker) nesting(d *demand, window []*supply) {
	for _, e := range l.demands {
		if e != d && e.srv != d.srv && e.srv.upstream == 0 && !byPage(d.call.Asked) && e.from <= d.from && (e.to == never || e.to >= d.to) && e.srv.fromHost(d.call.Asked.Flow.Client.Addr(), d.call.Asked.HAR) {
			d.srv.enclosed++
			return
		}
	}
	for _, s := range window {
		if len(s.Calls) == 0 || s.token || !s.Calls[0].Asked.Flow.Server.IsValid() {
			continue
		}
		d.srv.nests++
		if s.host == d.srv.addr.Addr() && !s.host.IsLoopback() {
			d.srv.nests++ // no other server is at that address
		}
		return
	}
}
