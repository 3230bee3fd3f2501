package hop

import (
	"maps"
	"net/netip"
	"slices"

	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// A server is an address that was asked, and what is known of it.
type server struct {
	addr    netip.AddrPort
	profile *profile
	version string

	gateway  bool              // it shows itself as one, or the user says so, or attempts were seen inside its calls
	guessed  bool              // it is one by a few calls, in a capture that goes on: what follows may tell otherwise
	listed   bool              // it is in Linker.gateways
	named    bool              // by the user, one way or the other: nothing is learned
	upstream int               // attempts at it that belong to another server's calls
	behaved  [2]conduct        // of its calls that a client makes for their answer, and of the others
	beside   int               // its calls beside an attempt of no call
	own      bool              // an attempt inside of a call came from its address, where its client is not
	apart    map[[2]string]int // its calls that held an attempt of another sender, by both senders (User-Agent)
	unlike   bool              // a call tells itself from an attempt inside of it: that names another sender (User-Agent), or the call alone names a server
	begun    int               // attempts at it
	span     [2]int            // how many began elsewhere until its first call, and until its latest
	held     int               // those of them that its calls held
	enclosed int               // its calls that lie inside a call of another server
	served   int               // attempts that its calls have

	names map[string]*name
	homes map[endpoint]string // endpoints that are known to be a name's
	known []string            // those of them of which it became known where they are reached, sorted
	hosts map[netip.Addr]bool // other addresses that its attempts come from
	keys  map[string]bool     // hashes of its own keys
}

// A conduct is what a server's calls show of whether it asks others to answer
// them: how many held an attempt that may be of them, and how many were
// answered although no attempt is there that they need.
type conduct struct{ nests, against int }

// many calls that behave like a gateway's make a server one for good. While a
// capture goes on few do until others tell otherwise, and a single one when it
// is all there is, where the calls differ from the attempts: those of one
// program, that asks a busy upstream and others, look alike.
const few, many = 2, 4

// agents bounds the pairs of senders that are kept of a server.
const agents = 64

// asks reports whether a server behaves as one that asks others, in so many
// calls. On loopback any program may ask any server at any time, so that a busy
// upstream has attempts at others inside of many of its calls: but hardly inside
// of nearly all of them, and most of those attempts outside.
func (l *Linker) asks(s *server, nests int) bool {
	switch {
	case s.enclosed > 0:
		return false
	case s.own || l.parted(s) >= min(nests, few):
		return true
	case s.span[1]-s.span[0] > 2*s.held:
		return false
	}
	return slices.ContainsFunc(s.behaved[:], func(c conduct) bool { return c.nests >= max(nests, 4*(c.against+s.beside)) })
}

// A caller is a program that calls a server, by the name it gives itself
// (User-Agent).
type caller struct {
	server netip.AddrPort
	agent  string
}

// called notes who calls a server.
func (l *Linker) called(x *mcp.Exchange) {
	c := caller{x.Flow.Server, x.UserAgent}
	if _, known := l.callers[c]; !known && len(l.callers) < l.lim.Sessions {
		l.callers[c] = struct{}{}
		l.calls[c.agent]++
	}
}

// parted counts the calls of a server that came of a program which asks no
// other server, and held an attempt of one that does not ask this server: it is
// the server itself that asks, as often as it likes. What is asked beside each
// other of servers whose gateway is not in the capture comes of one program.
func (l *Linker) parted(s *server) int {
	n := 0
	if len(l.callers) < l.lim.Sessions { // else not all are known
		for two, held := range s.apart {
			if _, both := l.callers[caller{s.addr, two[1]}]; !both && l.calls[two[0]] == 1 {
				n += held
			}
		}
	}
	return n
}

func (l *Linker) server(addr netip.AddrPort) *server {
	s := l.servers[addr]
	if s != nil {
		return s
	}
	s = &server{
		addr: addr, profile: general, span: [2]int{-1, -1}, apart: map[[2]string]int{},
		names: map[string]*name{}, homes: map[endpoint]string{}, hosts: map[netip.Addr]bool{}, keys: map[string]bool{},
	}
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
	live := l.cfg.Hold > 0
	enough, due := many, 1 // calls that tell, at any time and when d has to be judged
	if live && s.unlike {
		enough = few
	} else if live && !l.closing {
		due = many
	}
	if s.guessed && !l.asks(s, 1) {
		l.demote(s)
	}
	switch {
	case l.asks(s, enough) && !l.guessing():
		l.promote(s)
		s.guessed = !l.asks(s, many)
		return true, true
	case s.guessed:
		return true, true
	case final && l.asks(s, due) && !(live && l.beside(d)):
		l.promote(s)
		s.guessed = live
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
	s.gateway, s.guessed, s.listed, s.served = false, false, false, 0
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
	c := &d.srv.behaved[0]
	if d.kind == "" {
		c = &d.srv.behaved[1]
	}
	tools, n := answer(d.call)
	if d.srv.span[0] < 0 {
		d.srv.span[0] = d.begun
	}
	d.srv.span[1] = max(d.srv.span[1], d.begun)
	asked, explained, apart := false, n <= 0, map[string]bool{}
	for _, s := range window {
		if len(s.Calls) == 0 || s.token || !s.Calls[0].Asked.Flow.Server.IsValid() || !d.encloses(s) {
			continue
		}
		asked = true
		x := s.Calls[0].Asked
		d.srv.unlike = d.srv.unlike || x.UserAgent != d.call.Asked.UserAgent || len(d.names) > 0 && len(scope(x)) == 0
		if two := [2]string{d.call.Asked.UserAgent, x.UserAgent}; two[0] != two[1] && !apart[two[1]] && len(d.srv.apart) < agents {
			apart[two[1]] = true
			d.srv.apart[two]++
		}
		d.srv.own = d.srv.own || s.host == d.srv.addr.Addr() && !s.host.IsLoopback() && s.host != d.call.Asked.Flow.Client.Addr()
		if s.inside != d.srv {
			s.inside = d.srv
			d.srv.held++
		}
		explained = explained || s.Outcome == OK && passedOn(tools, s.Tools)
	}
	switch {
	case asked && l.stray(d):
		d.srv.beside++
	case asked && explained:
		c.nests++
	case asked || len(window) == 0 && d.call.Outcome == pair.Answered:
		c.against++
	}
}

// strays bounds the attempts beside a call that are looked at, strayed the calls
// that each of them is sought in.
const strays, strayed = 32, 256

// stray reports whether an attempt that none of its server's calls holds was
// under way as a call was: another asks the same upstreams, whose calls are not
// in the capture.
func (l *Linker) stray(d *demand) bool {
	for i := len(l.supplies) - 1; i >= max(0, len(l.supplies)-strays); i-- {
		s := l.supplies[i]
		if s.taken || s.token || len(s.Calls) == 0 || s.end.addr == d.srv.addr || !d.mayCause(s) ||
			d.encloses(s) || s.from > d.to || s.latestOrEnd() < d.from {
			continue
		}
		held := false
		for j := len(l.demands) - 1; j >= max(0, len(l.demands)-strayed) && !held; j-- {
			held = l.demands[j].srv == d.srv && l.demands[j].encloses(s)
		}
		if !held {
			return true
		}
	}
	return false
}
