package capturetest

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A Conversation is a parsed script. It does not change once parsed and may be
// wrapped any number of times.
type Conversation struct {
	start    time.Time
	gateway  netip.AddrPort
	conns    []*conn // in order of first use; each incarnation is its own
	steps    []step
	messages []*message
	expect   []Expect
}

// An Expect is what a script expects of one message.
type Expect struct {
	Line  int    // of the script, from 1
	Text  string // what stands behind "=>"
	Conn  string // name of the connection
	Frame int    // in which the message begins; 0: not in this capture. Set in Capture.Expect
}

// A conn is one incarnation of a connection.
type conn struct {
	name           string
	client, server netip.AddrPort
	exchanges      []*exchange
	open           [2]*message // the message that goes on, by direction
	opened, ended  bool
}

// An exchange is a request and what was answered.
type exchange struct {
	conn     *conn
	request  *message
	response *message // the final one; nil: none yet
	interim  []*message
	id       string // raw JSON-RPC id of the request's last message
}

// messages are all messages of the exchange.
func (x *exchange) messages() (out []*message) {
	for _, m := range append(x.interim, x.request, x.response) {
		if m != nil {
			out = append(out, m)
		}
	}
	return out
}

type kind uint8

const (
	doOpen kind = iota + 1
	doHead      // of message
	doPiece
	doFinish // of message: the last chunk
	doRaw
	doGap
	doFin
	doReset
	doRefused
	doUnanswered
	doDrops
)

// A step is one thing that happens. The steps of one line of the script share
// its time.
type step struct {
	kind   kind
	at     time.Duration // since start
	conn   *conn
	dir    dir
	msg    *message // doHead, doPiece, doFinish
	piece  int      // doPiece: index into msg.pieces
	raw    []byte   // doRaw
	n      int      // doGap, doDrops
	hole   *message // doGap: whose bytes are missing, or nil
	lost   bool     // its frames were never captured
	expect int      // index into expect plus one
}

type dir uint8

const (
	toServer dir = iota
	toClient
)

func (d dir) other() dir { return d ^ 1 }

const (
	tick    = time.Millisecond
	longest = 366 * 24 * time.Hour // of a conversation: its times stay within what pcap can say
	most    = 1 << 20              // bytes of a gap or filler, packets, tools: a slip of the finger fills no memory
)

var (
	nameExpr    = `[A-Za-z][A-Za-z0-9_-]*(?:\.[0-9]+)?`
	arrowLine   = regexp.MustCompile(`^(` + nameExpr + `)?(>>|<<|>|<)(?:\s+(.*))?$`)
	eventLine   = regexp.MustCompile(`^(` + nameExpr + `)?([.!])\s+(.*)$`)
	declareLine = regexp.MustCompile(`^(` + nameExpr + `)\s*=\s*(.+)$`)
	chooseLine  = regexp.MustCompile(`^\[\s*(` + nameExpr + `)\s*([^\]]*)\]$`)
)

// MustParse is Parse for scripts that stand in the test itself; it panics on a
// bad one.
func MustParse(script string) *Conversation {
	c, err := Parse([]byte(script))
	if err != nil {
		panic("capturetest: " + err.Error())
	}
	return c
}

// Parse reads a script. Errors name the line.
func Parse(script []byte) (*Conversation, error) {
	p := newParser()
	lines := strings.Split(strings.ReplaceAll(string(script), "\r\n", "\n"), "\n")
	for i := 0; i < len(lines); {
		p.line = i + 1
		head := strings.TrimRight(lines[i], " \t")
		block, next := blockBelow(lines, i+1)
		before := len(p.c.steps)
		if err := p.step(head, block); err != nil {
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		}
		if len(p.c.steps) > before {
			p.now += tick
			p.lost = false
		}
		i = next
	}
	g := p.peers["gateway"]
	p.c.gateway = netip.AddrPortFrom(g.addr, g.port)
	return p.c, nil
}

// blockBelow returns the indented lines from i on, unindented, and where the
// next step begins. Empty lines at the end are not part of it.
func blockBelow(lines []string, i int) (block []string, next int) {
	for next = i; next < len(lines); next++ {
		l := lines[next]
		if strings.TrimSpace(l) != "" && l[0] != ' ' && l[0] != '\t' {
			break
		}
		block = append(block, l)
	}
	for len(block) > 0 && strings.TrimSpace(block[len(block)-1]) == "" {
		block = block[:len(block)-1]
	}
	for k, l := range block {
		block[k] = strings.TrimRight(unindent(l), " \t")
	}
	return block, next
}

func unindent(l string) string {
	if strings.HasPrefix(l, "\t") {
		return l[1:]
	}
	return strings.TrimPrefix(strings.TrimPrefix(l, " "), " ")
}

// A parser holds what later lines depend on.
type parser struct {
	c         *Conversation
	line      int
	now       time.Duration
	lost      bool             // the next step's frames are lost
	current   string           // name of the connection
	peers     map[string]peer  // by name
	routes    map[string]route // declared connections
	conns     map[string]*conn // newest incarnation by name
	ports     map[netip.Addr]uint16
	ids       map[[2]netip.Addr]string // last JSON-RPC id between two hosts
	upstreams int
}

// A peer has port 0 where it was not given.
type peer struct {
	addr netip.Addr
	port uint16
}

type route struct{ client, server peer }

var (
	defaultStart   = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	defaultClient  = peer{addr: netip.AddrFrom4([4]byte{10, 0, 0, 5})}
	defaultGateway = peer{netip.AddrFrom4([4]byte{10, 0, 1, 1}), 4000}
)

func newParser() *parser {
	return &parser{
		c:       &Conversation{start: defaultStart},
		current: "down",
		peers:   map[string]peer{"client": defaultClient, "gateway": defaultGateway},
		routes:  map[string]route{},
		conns:   map[string]*conn{},
		ports:   map[netip.Addr]uint16{},
		ids:     map[[2]netip.Addr]string{},
	}
}

// step reads one line and the block below it.
func (p *parser) step(head string, block []string) error {
	if head != "" && (head[0] == ' ' || head[0] == '\t') {
		return fmt.Errorf("indented text belongs to no message: %q", strings.TrimSpace(head))
	}
	if head == "" || head[0] == '#' {
		if len(block) > 0 {
			return fmt.Errorf("indented text belongs to no message: %q", block[0])
		}
		return nil
	}
	if m := arrowLine.FindStringSubmatch(head); m != nil {
		p.choose(m[1])
		return p.arrow(m[2], m[3], block)
	}
	if len(block) > 0 {
		return fmt.Errorf("indented text below %q, which is no message", head)
	}
	if rest, ok := strings.CutPrefix(head, "~"); ok {
		return p.wait(strings.TrimSpace(rest))
	}
	if m := eventLine.FindStringSubmatch(head); m != nil {
		p.choose(m[1])
		words := strings.Fields(m[3])
		if m[2] == "!" {
			return p.mishap(words)
		}
		return p.event(words)
	}
	if m := chooseLine.FindStringSubmatch(head); m != nil {
		return p.chooseOrDeclare(m[1], strings.TrimSpace(m[2]))
	}
	if m := declareLine.FindStringSubmatch(head); m != nil {
		return p.declare(m[1], strings.TrimSpace(m[2]))
	}
	return fmt.Errorf("cannot read %q", head)
}

func (p *parser) choose(name string) {
	if name != "" {
		p.current = name
	}
}

func (p *parser) wait(text string) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 || p.now+d > longest {
		return fmt.Errorf("not a duration: %q", text)
	}
	p.now += d
	return nil
}

// arrow reads a message, a piece of one, or raw bytes.
func (p *parser) arrow(arrow, rest string, block []string) error {
	d := toServer
	if arrow[0] == '<' {
		d = toClient
	}
	if len(arrow) == 2 {
		if rest != "" {
			block = append([]string{rest}, block...)
		}
		return p.more(d, block)
	}
	expect := ""
	if i := strings.LastIndex(rest, "=>"); i == 0 || i > 0 && rest[i-1] == ' ' {
		rest, expect = strings.TrimSpace(rest[:i]), strings.TrimSpace(rest[i+2:])
	}
	if strings.HasPrefix(rest, `"`) {
		return p.raw(d, rest, expect, block)
	}
	return p.message(d, rest, expect, block)
}

func (p *parser) raw(d dir, quoted, expect string, block []string) error {
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return fmt.Errorf("not a Go string: %s", quoted)
	}
	if len(block) > 0 {
		return fmt.Errorf("raw bytes have no block")
	}
	p.add(step{kind: doRaw, conn: p.live(), dir: d, raw: []byte(text), expect: p.expectation(expect)})
	return nil
}

func (p *parser) expectation(text string) int {
	if text == "" {
		return 0
	}
	p.c.expect = append(p.c.expect, Expect{Line: p.line, Text: text, Conn: p.current})
	return len(p.c.expect)
}

func (p *parser) add(s step) {
	s.at, s.lost = p.now, p.lost && s.kind != doOpen
	p.c.steps = append(p.c.steps, s)
}

// mishap reads what the capture did not see.
func (p *parser) mishap(words []string) error {
	switch {
	case len(words) == 1 && words[0] == "lost":
		p.lost = true
		return nil
	case len(words) == 2 && words[0] == "drops":
		n, err := positive(words[1])
		if err == nil {
			p.add(step{kind: doDrops, n: n})
		}
		return err
	case len(words) >= 2 && len(words) <= 3 && words[0] == "gap":
		n, err := positive(words[1])
		if err != nil {
			return err
		}
		return p.gap(n, words[2:])
	}
	return fmt.Errorf("unknown mishap %q: gap N [<|>], lost, drops N", strings.Join(words, " "))
}

func (p *parser) gap(n int, where []string) error {
	c := p.live()
	d := toClient
	switch {
	case len(where) == 1:
		var err error
		if d, err = direction(where[0]); err != nil {
			return err
		}
	case c.open[toClient] != nil:
	case c.open[toServer] != nil:
		d = toServer
	}
	m := c.open[d]
	if m != nil {
		m.missing += n
	}
	p.add(step{kind: doGap, conn: c, dir: d, n: n, hole: m})
	return nil
}

// event reads what happens to a connection as a whole.
func (p *parser) event(words []string) error {
	what := ""
	if len(words) > 0 {
		what = words[0]
	}
	d := toServer
	if what == "reset" {
		d = toClient
	}
	if len(words) == 2 {
		var err error
		if d, err = direction(words[1]); err != nil {
			return err
		}
	}
	if len(words) > 2 {
		return fmt.Errorf("too many words: %q", strings.Join(words, " "))
	}
	switch what {
	case "open":
		p.live()
	case "refused":
		p.never(doRefused)
	case "unanswered":
		p.never(doUnanswered)
		p.now += 3 * time.Second
	case "close":
		c := p.live()
		p.add(step{kind: doFin, conn: c, dir: d})
		p.add(step{kind: doFin, conn: c, dir: d.other()})
		c.ended = true
	case "fin":
		p.add(step{kind: doFin, conn: p.live(), dir: d})
	case "reset":
		c := p.live()
		p.add(step{kind: doReset, conn: c, dir: d})
		c.ended = true
	default:
		return fmt.Errorf("unknown event %q: open, close, fin, reset, refused, unanswered", what)
	}
	return nil
}

// never adds a connection that does not come to be.
func (p *parser) never(k kind) {
	c := p.dial()
	c.opened, c.ended = true, true
	p.add(step{kind: k, conn: c})
}

func direction(s string) (dir, error) {
	switch s {
	case ">":
		return toServer, nil
	case "<":
		return toClient, nil
	}
	return 0, fmt.Errorf("not a direction: %q", s)
}

func positive(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 || n > most {
		return 0, fmt.Errorf("not a positive number up to %d: %q", most, s)
	}
	return n, nil
}

// live returns the current connection, opened.
func (p *parser) live() *conn {
	c := p.conns[p.current]
	if c == nil || c.ended {
		c = p.dial()
	}
	if !c.opened {
		c.opened = true
		p.add(step{kind: doOpen, conn: c})
	}
	return c
}

// dial makes the next incarnation of the current connection.
func (p *parser) dial() *conn {
	r, ok := p.routes[p.current]
	if !ok {
		r = p.guess(p.current)
		p.routes[p.current] = r
	}
	port := r.client.port
	if port == 0 {
		if p.ports[r.client.addr] == 0 {
			p.ports[r.client.addr] = 40000 + 1000*uint16(len(p.ports)%20)
		}
		p.ports[r.client.addr]++
		port = p.ports[r.client.addr]
	}
	c := &conn{
		name:   p.current,
		client: netip.AddrPortFrom(r.client.addr, port),
		server: netip.AddrPortFrom(r.server.addr, r.server.port),
	}
	p.conns[p.current] = c
	p.c.conns = append(p.c.conns, c)
	return c
}

// guess makes up the route of a connection that nobody declared.
func (p *parser) guess(name string) route {
	base, _, numbered := strings.Cut(name, ".")
	if r, ok := p.routes[base]; ok && numbered {
		return route{peer{addr: r.client.addr}, r.server}
	}
	if base == "down" {
		return route{p.caller("client"), p.peers["gateway"]}
	}
	return route{p.caller("gateway"), p.server(base)}
}

// caller is the peer of that name as the side that opens connections: a
// gateway does not call from the port it listens on.
func (p *parser) caller(name string) peer {
	if name == "client" {
		return p.peers[name]
	}
	return peer{addr: p.peers[name].addr}
}

// server returns the peer of that name, made up where it was not declared.
func (p *parser) server(name string) peer {
	v, known := p.peers[name]
	if !known || v.port == 0 {
		p.upstreams++
		n := p.upstreams
		if !known {
			v.addr = netip.AddrFrom4([4]byte{10, 0, 2, byte(n)})
		}
		v.port = 9100 + uint16(n)
		p.peers[name] = v
	}
	return v
}

func (p *parser) chooseOrDeclare(name, peers string) error {
	p.current = name
	if peers == "" {
		return nil
	}
	if !strings.Contains(peers, ">") {
		from := "gateway"
		if base, _, _ := strings.Cut(name, "."); base == "down" {
			from = "client"
		}
		peers = from + " > " + peers
	}
	return p.declare(name, peers)
}

func (p *parser) declare(name, value string) error {
	if name == "start" {
		t, err := time.Parse(time.RFC3339Nano, value)
		p.c.start = t
		return err
	}
	if p.conns[name] != nil {
		return fmt.Errorf("%s is in use already", name)
	}
	from, to, isRoute := strings.Cut(value, ">")
	if !isRoute {
		v, err := parsePeer(value)
		p.peers[name] = v
		return err
	}
	from, to = strings.TrimSpace(from), strings.TrimSpace(to)
	client, err := p.side(from, p.caller)
	if err != nil {
		return err
	}
	server, err := p.side(to, p.server)
	if err != nil {
		return err
	}
	if server.port == 0 {
		return fmt.Errorf("the server %q needs a port", to)
	}
	p.routes[name] = route{client, server}
	return nil
}

// side resolves a name or an address.
func (p *parser) side(text string, named func(string) peer) (peer, error) {
	if regexp.MustCompile(`^` + nameExpr + `$`).MatchString(text) {
		if v := named(text); v.addr.IsValid() {
			return v, nil
		}
		return peer{}, fmt.Errorf("no peer %q", text)
	}
	return parsePeer(text)
}

func parsePeer(text string) (peer, error) {
	if ap, err := netip.ParseAddrPort(text); err == nil {
		return peer{ap.Addr(), ap.Port()}, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return peer{}, fmt.Errorf("not an address: %q", text)
	}
	return peer{addr: a}, nil
}
