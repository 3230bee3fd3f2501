package filter

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"
)

// A dir is which of a packet's two addresses is meant.
type dir uint8

const (
	srcOrDst dir = iota
	srcOnly
	dstOnly
	srcAndDst
)

// The qualifiers of a value: "tcp src port".
type qualifiers struct {
	proto string
	dir   dir
	kind  string // "host", "net", "port", "portrange", "proto"
	ok    bool   // there are any: only then may a bare value follow
}

// protocols is every name of a protocol: an EtherType, or the number of an IP
// protocol and over which versions of IP it goes.
var protocols = map[string]struct {
	ether    uint32
	ip       uint32
	ip4, ip6 bool
}{
	"ip": {ether: etherIPv4}, "ip6": {ether: etherIPv6}, "arp": {ether: etherARP}, "rarp": {ether: etherRARP},
	"tcp": {0, protoTCP, true, true}, "udp": {0, protoUDP, true, true}, "sctp": {0, protoSCTP, true, true},
	"icmp": {0, 1, true, false}, "icmp6": {0, 58, false, true}, "esp": {0, 50, true, true}, "ah": {0, 51, true, true},
}

// services is the few names of ports that people write, with the protocol of
// those that have but one; /etc/services would make an expression mean
// something else on each machine.
var services = map[string]struct {
	port uint32
	only string
}{"http": {80, "tcp"}, "https": {443, ""}, "ssh": {22, "tcp"}, "domain": {53, ""}}

type token struct {
	text string // empty at the end
	at   int
}

// A parser reads an expression as libpcap's grammar does: "and" and "or" bind
// equally, from the left, and "not" binds tighter.
type parser struct {
	text  string
	list  []token
	pos   int
	depth int // of parentheses and nots
	tags  int // VLAN tags passed so far: each moves every test after it
	last  qualifiers
}

func (p *parser) parse() (node, error) {
	if len(p.text) > maxExpression {
		return nil, &Error{maxExpression, fmt.Sprintf("an expression has at most %d bytes", maxExpression)}
	}
	if err := p.scan(); err != nil {
		return nil, err
	}
	if p.peek().text == "" {
		return nil, nil
	}
	n, err := p.expression()
	if err == nil && p.peek().text != "" {
		err = p.wrong(`"and", "or" or the end`)
	}
	return n, err
}

// scan cuts the text into words and signs.
func (p *parser) scan() error {
	const word = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-_%"
	for i := 0; i < len(p.text); {
		n := 1
		switch rest := p.text[i:]; {
		case strings.ContainsRune(" \t\r\n", rune(rest[0])):
			i++
			continue
		case strings.HasPrefix(rest, "&&"), strings.HasPrefix(rest, "||"):
			n = 2
		case strings.ContainsRune("()!/", rune(rest[0])):
		case rest[0] == '\\' && len(rest) > 1 && strings.IndexByte(word, rest[1]) >= 0, strings.IndexByte(word, rest[0]) >= 0:
			n += len(rest[1:]) - len(strings.TrimLeft(rest[1:], word))
		case strings.ContainsRune("[]&|<>=+*", rune(rest[0])):
			return &Error{i, fmt.Sprintf("%q: expressions over bytes and numbers are not compiled here: tcpdump -ddd does, --bpf-file reads it", rest[:1])}
		default:
			return &Error{i, fmt.Sprintf("%q is no part of the language", firstRune(rest))}
		}
		p.list = append(p.list, token{p.text[i : i+n], i})
		i += n
	}
	return nil
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func (p *parser) peek() token {
	if p.pos < len(p.list) {
		return p.list[p.pos]
	}
	return token{"", len(p.text)}
}

// take skips the word if it stands there.
func (p *parser) take(words ...string) bool {
	for _, w := range words {
		if p.peek().text == w {
			p.pos++
			return true
		}
	}
	return false
}

// wrong says what stands where something else was expected.
func (p *parser) wrong(expected string) error {
	t := p.peek()
	if t.text == "" {
		return &Error{t.at, "the expression ends where " + expected + " was expected"}
	}
	return &Error{t.at, fmt.Sprintf("%q stands where %s was expected", t.text, expected)}
}

func (p *parser) expression() (node, error) {
	n, err := p.term()
	for err == nil {
		var m node
		switch {
		case p.take("and", "&&"):
			m, err = p.term()
			n = both{n, m}
		case p.take("or", "||"):
			m, err = p.term()
			n = either{n, m}
		default:
			return n, nil
		}
	}
	return nil, err
}

func (p *parser) term() (node, error) {
	p.depth++
	defer func() { p.depth-- }()
	if p.depth > maxDepth {
		return nil, &Error{p.peek().at, fmt.Sprintf("more than %d parentheses and nots within each other", maxDepth)}
	}
	switch {
	case p.take("not", "!"):
		n, err := p.term()
		return not{n}, err
	case p.take("("):
		n, err := p.expression()
		if err == nil && !p.take(")") {
			err = p.wrong(`"and", "or" or ")"`)
		}
		return n, err
	}
	return p.primitive()
}

func (p *parser) primitive() (node, error) {
	switch t := p.peek(); {
	case p.take("vlan"):
		return p.vlan()
	case p.take("less", "greater"):
		n, err := p.number("a length", 1<<32-1)
		p.last = qualifiers{}
		if t.text == "less" {
			return length(bpf.JumpLessOrEqual, n), err
		}
		return length(bpf.JumpGreaterOrEqual, n), err
	case isQualifier(t.text):
		return p.qualified()
	case t.text != "" && strings.IndexByte("()!/&|", t.text[0]) < 0 && !isWord(t.text):
		if !p.last.ok {
			return nil, p.wrong(`a test such as "host 10.0.0.1", "port 80", "tcp"`)
		}
		return p.value(p.last)
	}
	return nil, p.wrong(`a test such as "host 10.0.0.1", "port 80", "tcp"`)
}

func isQualifier(s string) bool {
	switch s {
	case "src", "dst", "host", "net", "port", "portrange", "proto":
		return true
	}
	return protocols[s].ether+protocols[s].ip != 0
}

func isWord(s string) bool {
	switch s {
	case "and", "or", "not", "vlan", "less", "greater", "mask":
		return true
	}
	return isQualifier(s)
}

// vlan is a test and also moves every test that is read after it behind the
// tag, whatever parentheses and nots stand between.
func (p *parser) vlan() (node, error) {
	n := vlan{p.tags, -1}
	p.tags++
	p.last = qualifiers{}
	if t := p.peek().text; t == "" || t[0] < '0' || t[0] > '9' {
		return n, nil
	}
	id, err := p.number("a VLAN id", 4095)
	n.id = int(id)
	return n, err
}

func (p *parser) number(what string, limit uint64) (uint32, error) {
	v, err := strconv.ParseUint(p.peek().text, 0, 64)
	if err != nil || v > limit {
		return 0, p.wrong(fmt.Sprintf("%s from 0 to %d", what, limit))
	}
	p.pos++
	return uint32(v), nil
}

// qualified reads qualifiers and their value, which a name of a protocol does
// without.
func (p *parser) qualified() (node, error) {
	q := qualifiers{ok: true}
	at := p.peek().at
	if t := p.peek().text; protocols[t].ether+protocols[t].ip != 0 {
		q.proto = t
		p.pos++
	}
	directed := p.direction(&q)
	if p.take("host", "net", "port", "portrange", "proto") {
		q.kind = p.list[p.pos-1].text
	}
	if !directed && q.kind == "" {
		p.last = qualifiers{}
		return protocol(p.tags, q.proto), nil
	}
	if q.kind == "" {
		q.kind = "host"
	}
	if err := q.check(at); err != nil {
		return nil, err
	}
	p.last = q
	if p.take("(") {
		return p.values(q)
	}
	return p.negated(q)
}

// direction reads src, dst, "src or dst" and "src and dst".
func (p *parser) direction(q *qualifiers) bool {
	first := p.peek().text
	if !p.take("src", "dst") {
		return false
	}
	q.dir = srcOnly
	other := "dst"
	if first == "dst" {
		q.dir, other = dstOnly, "src"
	}
	if p.pos+1 < len(p.list) && p.list[p.pos+1].text == other {
		switch {
		case p.take("or", "||"):
			q.dir = srcOrDst
			p.pos++
		case p.take("and", "&&"):
			q.dir = srcAndDst
			p.pos++
		}
	}
	return true
}

// check refuses qualifiers that do not go together, as libpcap does.
func (q qualifiers) check(at int) error {
	pr := protocols[q.proto]
	switch {
	case q.proto == "":
		return nil
	case q.kind == "host" || q.kind == "net":
		if pr.ether == 0 {
			return &Error{at, fmt.Sprintf("%q has no addresses of its own: write \"%s and %s ...\"", q.proto, q.proto, q.kind)}
		}
	case q.kind == "port" || q.kind == "portrange":
		if q.proto != "tcp" && q.proto != "udp" && q.proto != "sctp" {
			return &Error{at, fmt.Sprintf("%q has no ports of its own: write \"%s and %s ...\"", q.proto, q.proto, q.kind)}
		}
	case q.proto != "ip" && q.proto != "ip6":
		return &Error{at, fmt.Sprintf("%q cannot carry a protocol: \"ip proto\", \"ip6 proto\" or \"proto\" was expected", q.proto)}
	}
	return nil
}

// values reads "(80 or 443)" after qualifiers.
func (p *parser) values(q qualifiers) (node, error) {
	n, err := p.negated(q)
	for err == nil && !p.take(")") {
		var m node
		switch {
		case p.take("and", "&&"):
			m, err = p.negated(q)
			n = both{n, m}
		case p.take("or", "||"):
			m, err = p.negated(q)
			n = either{n, m}
		default:
			err = p.wrong(`"and", "or" or ")"`)
		}
	}
	return n, err
}

func (p *parser) negated(q qualifiers) (node, error) {
	odd := false
	for p.take("not", "!") {
		odd = !odd
	}
	n, err := p.value(q)
	if odd {
		n = not{n}
	}
	return n, err
}

func (p *parser) value(q qualifiers) (node, error) {
	switch q.kind {
	case "port":
		port, err := p.port(&q)
		return ports(p.tags, q.transports(), q.dir, port, port), err
	case "portrange":
		return p.portrange(q)
	case "proto":
		return p.proto(q)
	case "net":
		return p.net(q)
	}
	t := p.peek()
	a, err := netip.ParseAddr(t.text)
	if err != nil || a.Zone() != "" {
		return nil, p.wrong("an address (names are not looked up)")
	}
	p.pos++
	if p.peek().text == "/" {
		return nil, &Error{p.peek().at, `a length goes with "net", not with "host"`}
	}
	return q.addresses(p.tags, t.at, netip.PrefixFrom(a, a.BitLen()))
}

// addresses holds the version of the address against the protocol.
func (q qualifiers) addresses(depth, at int, prefix netip.Prefix) (node, error) {
	ether := protocols[q.proto].ether
	if ether != 0 && (ether == etherIPv6) != prefix.Addr().Is6() {
		return nil, &Error{at, fmt.Sprintf("%q is no address of %q", prefix.Addr(), q.proto)}
	}
	return addresses(depth, ether, q.dir, prefix), nil
}

// transports is the protocols with ports, in libpcap's order: the order
// decides which load fails first in a cut packet.
func (q qualifiers) transports() []uint32 {
	if q.proto != "" {
		return []uint32{protocols[q.proto].ip}
	}
	return []uint32{protoSCTP, protoTCP, protoUDP}
}

func (p *parser) port(q *qualifiers) (uint32, error) {
	if v, ok := services[p.peek().text]; ok {
		p.pos++
		if q.proto == "" {
			q.proto = v.only
		}
		return v.port, nil
	}
	return p.number("a port", 65535)
}

func (p *parser) portrange(q qualifiers) (node, error) {
	first, second, ok := strings.Cut(p.peek().text, "-")
	if !ok {
		second = first
	}
	lo, err := strconv.ParseUint(first, 10, 16)
	hi, err2 := strconv.ParseUint(second, 10, 16)
	if err != nil || err2 != nil {
		return nil, p.wrong(`a range of ports such as "8000-8080"`)
	}
	p.pos++
	return ports(p.tags, q.transports(), q.dir, uint32(min(lo, hi)), uint32(max(lo, hi))), nil
}

// proto reads a number or an escaped name: "ip proto \tcp".
func (p *parser) proto(q qualifiers) (node, error) {
	name := strings.TrimPrefix(p.peek().text, `\`)
	n := protocols[name].ip
	if n != 0 {
		p.pos++
	} else {
		var err error
		if n, err = p.number("a protocol", 255); err != nil {
			return nil, err
		}
	}
	switch q.proto {
	case "ip":
		return ip4Proto(p.tags, n), nil
	case "ip6":
		return ip6Proto(p.tags, n), nil
	}
	return either{ip4Proto(p.tags, n), ip6Proto(p.tags, n)}, nil
}

func protocol(depth int, name string) node {
	pr := protocols[name]
	switch {
	case pr.ether != 0:
		return network(depth, pr.ether)
	case !pr.ip6:
		return ip4Proto(depth, pr.ip)
	case !pr.ip4:
		return ip6Proto(depth, pr.ip)
	}
	return either{ip4Proto(depth, pr.ip), ip6Proto(depth, pr.ip)}
}

// net reads "10", "10.1/16", "10.0.0.0 mask 255.0.0.0" and "2001:db8::/32".
func (p *parser) net(q qualifiers) (node, error) {
	t := p.peek()
	a, bits, ok := network4(t.text)
	if !ok {
		var err error
		if a, err = netip.ParseAddr(t.text); err != nil || a.Zone() != "" {
			return nil, p.wrong(`a network such as "10.0.0.0/8" (names are not looked up)`)
		}
		bits = a.BitLen()
	}
	p.pos++
	switch {
	case p.take("/"):
		n, err := p.number("a prefix length", uint64(a.BitLen()))
		if err != nil {
			return nil, err
		}
		bits = int(n)
	case a.Is4() && p.take("mask"):
		m, err := netip.ParseAddr(p.peek().text)
		if err != nil || !m.Is4() {
			return nil, p.wrong(`a mask such as "255.255.0.0"`)
		}
		if bits, ok = maskBits(m.As4()); !ok {
			return nil, p.wrong("a mask of ones followed by zeros")
		}
		p.pos++
	}
	prefix := netip.PrefixFrom(a, bits)
	if prefix.Masked() != prefix {
		return nil, &Error{t.at, fmt.Sprintf("%q has bits beyond the %d of the network", t.text, bits)}
	}
	return q.addresses(p.tags, t.at, prefix)
}

// network4 reads one to four numbers; what is left out is not part of the
// network.
func network4(s string) (netip.Addr, int, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, 0, false
	}
	var b [4]byte
	for i, part := range parts {
		v, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			return netip.Addr{}, 0, false
		}
		b[i] = byte(v)
	}
	return netip.AddrFrom4(b), 8 * len(parts), true
}

func maskBits(m [4]byte) (int, bool) {
	bits := 0
	for bits < 32 && m[bits/8]<<(bits%8)&0x80 != 0 {
		bits++
	}
	return bits, netip.PrefixFrom(netip.AddrFrom4(m), bits).Masked().Addr() == netip.AddrFrom4(m)
}
