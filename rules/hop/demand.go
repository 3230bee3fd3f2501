package hop

import (
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"

	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// A demand is a call that a gateway may have had to ask upstreams for.
type demand struct {
	call      *pair.Call
	srv       *server
	kind      Kind     // "": none of a case, but it competes for attempts (a health check, a prompts list, ...)
	from, to  instant  // to: never while it has no answer
	names     []string // servers in scope; none: all
	ripe      instant  // when it may be judged; never: not looked at yet
	held      bool
	rushed    bool // judged before its time
	judged    bool
	doubt     bool      // nobody knows whose the attempts are: some went well, and others failed
	learned   bool      // it has voted on its name
	counted   bool      // it has been counted for its server's role
	begun     int       // attempts that had begun elsewhere
	window    []*supply // the candidates as of its time
	contended []*supply // what would be one, had it not been given to another while nobody knew better
	asked     int       // endpoints among them that were asked something
	view      view      // and what could not be seen then
}

func sortDemands(q []*demand) {
	sort.SliceStable(q, func(i, j int) bool { return q[i].call.Asked.Asked.Frame < q[j].call.Asked.Asked.Frame })
}

// newDemand makes a demand of a call to what is, or may turn out to be, a
// gateway; nil where it is none.
func (l *Linker) newDemand(c *pair.Call, srv *server) *demand {
	x := c.Asked
	d := &demand{call: c, srv: srv, from: instantOf(c.Start()), begun: l.begun - srv.begun}
	switch c.Method {
	case "tools/list":
		d.kind = List
	case "tools/call":
		d.kind = ToolCall
	case "llm":
		if !x.LLMTools.MCP {
			return nil
		}
		d.kind = LLM
	case "initialize":
		if !srv.profile.initializes {
			return nil
		}
	case "prompts/list", "resources/list", "resources/templates/list", "prompts/get", "resources/read", "completion/complete", "health", "test", "":
	default:
		return nil
	}
	if !srv.gateway && (srv.upstream > 0 || srv.named) {
		return nil
	}
	d.names = srv.resolve(scope(x))
	for i := range x.Creds {
		if cr := &x.Creds[i]; srv.gateway && forwardable(cr) && !srv.keys[cr.Hash] {
			l.sent[cr.Hash]++
			if len(l.sent) > 4*l.lim.Sessions {
				clear(l.sent)
			}
		}
	}
	return d
}

// holds reports whether the request carried that credential in a field that a
// gateway may forward.
func (d *demand) holds(hash string) bool {
	for i := range d.call.Asked.Creds {
		if c := &d.call.Asked.Creds[i]; c.Hash == hash && forwardable(c) {
			return true
		}
	}
	return false
}

// mayCause reports whether the gateway may have sent an attempt for the demand.
// What a browser sent itself shows what an upstream says to a credential, and
// that it lies in the window shows nothing: pages ask several servers at once.
func (d *demand) mayCause(s *supply) bool {
	return d.srv.fromHost(s.host, s.har) && (!s.page || s.Cred != nil && d.holds(s.Cred.Hash))
}

// byPage reports whether an entry of a HAR was sent by a browser, by its word.
func byPage(x *mcp.Exchange) bool { return x.HAR && strings.HasPrefix(x.UserAgent, "Mozilla/") }

// contains reports whether the attempt lies in the demand's window.
func (d *demand) contains(s *supply) bool {
	if s.from < d.from-slack || d.to != never && (s.from > d.to || s.to > d.to+slack) {
		return false
	}
	return d.srv.addr != s.end.addr
}

// encloses reports whether the attempt lies in the demand's window by the marks
// themselves, with nothing granted for marks that are out of order.
func (d *demand) encloses(s *supply) bool {
	return s.from >= d.from && (d.to == never || s.from <= d.to && s.to <= d.to)
}

// wants reports whether an attempt of that use can come of this demand.
func (d *demand) wants(s *supply) bool {
	switch s.asked {
	case "list":
		return d.kind == List || d.kind == LLM || d.kind == "" && d.call.Method != "health" || d.kind == ToolCall
	case "call":
		return d.kind == ToolCall || d.kind == LLM
	case "else":
		return d.kind == ""
	}
	return true
}

// A name is what is known of where a gateway's server is reached.
type name struct {
	url   string // fixed by the gateway's own list, its debug header, or a configuration file
	alias []string
	votes map[endpoint]float64
	home  endpoint // by the votes, when sure
	sure  bool
	urls  map[string]bool // whether an attempt's address, authority and path are the url's
}

// sure is the vote that a name's endpoint needs, and twice that of the next.
const sure = 3

// resolve replaces server ids by names where the gateway's list gave them.
func (s *server) resolve(names []string) []string {
	out := make([]string, 0, len(names))
	for _, n := range names {
		n = strings.TrimSpace(n)
		if n == "" {
			continue
		}
		if id, ok := strings.CutPrefix(n, idPrefix); ok {
			if k := s.names[n]; k != nil && len(k.alias) > 0 {
				n = k.alias[0]
			} else if k := s.names[id]; k != nil {
				n = id
			}
		}
		out = append(out, n)
	}
	return out
}

// inventory takes an entry of the gateway's own list of servers.
func (s *server) inventory(e mcp.Server) {
	if len(s.names) > 4096 {
		return
	}
	first := e.Name
	if first == "" {
		first = e.Alias
	}
	for _, n := range []string{e.Name, e.Alias} {
		if n != "" {
			k := s.name(n)
			if k.url != e.URL {
				k.url, k.urls = e.URL, nil
				if e.URL != "" {
					s.learnt(n)
				}
			}
			for _, a := range []string{e.Name, e.Alias} {
				if a != "" && !slices.Contains(k.alias, a) {
					k.alias = append(k.alias, a)
				}
			}
		}
	}
	if e.ID != "" && first != "" {
		s.name(idPrefix + e.ID).alias = []string{first}
		s.name(idPrefix + e.ID).url = e.URL
	}
}

func (s *server) name(n string) *name {
	k := s.names[n]
	if k == nil {
		k = &name{votes: map[endpoint]float64{}}
		if len(s.names) < 8192 {
			s.names[n] = k
		}
	}
	return k
}

// at reports whether the name is known to be reached, or not to be reached, at
// that attempt's endpoint.
func (n *name) at(s *supply) (yes, no bool) {
	if n == nil {
		return false, false
	}
	switch {
	case n.url != "":
		yes, no = n.reached(s)
		return yes, no && !s.token
	case n.sure:
		yes = same(n.home, s.end)
		return yes, !yes && !s.token
	}
	return false, n.votes[s.end] <= -sure
}

// reached is sameURL, remembered.
func (n *name) reached(s *supply) (yes, no bool) {
	key := s.URL + s.authority
	yes, ok := n.urls[key]
	if !ok {
		if n.urls == nil || len(n.urls) > 1024 {
			n.urls = map[string]bool{}
		}
		yes = sameURL(n.url, s)
		n.urls[key] = yes
	}
	return yes, !yes
}

// decide says where the name is reached, after its votes have changed.
func (n *name) decide() {
	best, next := n.best()
	n.home, n.sure = best.end, best.v >= sure && best.v >= 2*next
}

// elsewhere reports whether an endpoint is known to be another name's, while
// nobody knows where n is: two names may share an endpoint, but that has to
// show itself first.
func (s *server) elsewhere(n string, end endpoint) bool {
	home, ok := s.homes[end]
	return ok && home != n && !s.names[n].known()
}

type vote struct {
	end endpoint
	v   float64
}

func (n *name) best() (best vote, next float64) {
	for e, v := range n.votes {
		switch {
		case v > best.v || v == best.v && best.end.addr.IsValid() && less(e, best.end):
			if best.end.addr != e.addr {
				next = best.v
			}
			best = vote{e, v}
		case v > next && e.addr != best.end.addr:
			next = v
		}
	}
	return best, next
}

func less(a, b endpoint) bool {
	if c := a.addr.Compare(b.addr); c != 0 {
		return c < 0
	}
	return a.path < b.path
}

// known reports whether it is known where the name is reached.
func (n *name) known() bool {
	return n != nil && (n.url != "" || n.sure)
}

// sameURL reports whether an attempt went to that URL: the same authority or
// address, and the same path where the attempt shows one.
func sameURL(url string, s *supply) bool {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return false
	}
	authority, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut("/"+path, "?")
	if s.end.path != "" && strings.TrimSuffix(path, "/") != strings.TrimSuffix(s.end.path, "/") {
		return false
	}
	if authority == s.authority || authority == s.end.addr.String() {
		return true
	}
	host, port := authority, map[string]string{"http": "80", "https": "443"}[scheme]
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i+1:]
	}
	if s.authority == host {
		return true
	}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return netip.AddrPortFrom(a, s.end.addr.Port()) == s.end.addr && port == strconv.Itoa(int(s.end.addr.Port()))
	}
	// A name that only the gateway can look up: the port has to do, and only
	// for connections that show no authority of their own.
	return (s.authority == "" || host == "localhost" && s.end.addr.Addr().IsLoopback()) && port == strconv.Itoa(int(s.end.addr.Port()))
}
