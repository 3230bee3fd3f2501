package capturetest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A message is an HTTP request or response. Everything about its framing is
// settled when it is written, because the length of its body is known only
// then.
type message struct {
	dir      dir
	method   string
	target   string
	status   int
	reason   string
	proto    string // "1.1" or "1.0"
	media    string // Content-Type to add, or empty
	chunked  bool
	gzip     bool
	close    bool // no length: the body ends with the connection
	fields   []field
	pieces   []string // of the body
	missing  int      // bytes of the body that the capture did not see
	finished bool
	rpc      bool // the body holds JSON-RPC
}

type field struct{ name, value string }

func (m *message) sse() bool { return strings.HasPrefix(m.contentType(), "text/event-stream") }

func (m *message) contentType() string {
	if v, ok := m.get("content-type"); ok {
		return v
	}
	return m.media
}

func (m *message) get(name string) (string, bool) {
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			return f.value, true
		}
	}
	return "", false
}

func (m *message) interim() bool { return m.status >= 100 && m.status < 200 && m.status != 101 }

// bodiless reports whether a message of that status can have no body.
func (m *message) bodiless() bool {
	return m.dir == toClient && (m.status < 200 || m.status == 204 || m.status == 304)
}

// message reads a start line and the block below it.
func (p *parser) message(d dir, line, expect string, block []string) error {
	m := &message{dir: d, proto: "1.1"}
	words, reason, err := splitReason(line)
	if err != nil {
		return err
	}
	if d == toServer {
		words, err = m.requestLine(words)
	} else {
		words, err = m.statusLine(words, reason)
	}
	if err != nil {
		return err
	}
	for _, w := range words {
		if err := m.word(w); err != nil {
			return err
		}
	}
	c := p.live()
	x, err := c.exchange(m)
	if err != nil {
		return err
	}
	fields, body, open := splitBlock(block, m)
	m.setFields(fields)
	p.c.messages = append(p.c.messages, m)
	p.add(step{kind: doHead, conn: c, dir: d, msg: m, expect: p.expectation(expect)})
	return p.body(c, x, m, body, open)
}

// more reads a further piece of an open message.
func (p *parser) more(d dir, block []string) error {
	c := p.conns[p.current]
	if c == nil || c.ended || c.open[d] == nil {
		return fmt.Errorf("nothing to go on with on %s: the message before it is over", p.current)
	}
	open := false
	if n := len(block); n > 0 && block[n-1] == "..." {
		open, block = true, block[:n-1]
	}
	m := c.open[d]
	return p.body(c, c.exchangeOf(m), m, block, open)
}

// body adds pieces to a body, and ends the message or leaves it open.
func (p *parser) body(c *conn, x *exchange, m *message, lines []string, open bool) error {
	pieces, err := p.pieces(x, m, lines)
	if err != nil {
		return err
	}
	for _, text := range pieces {
		m.pieces = append(m.pieces, text)
		p.add(step{kind: doPiece, conn: c, dir: m.dir, msg: m, piece: len(m.pieces) - 1})
	}
	if open {
		c.open[m.dir] = m
		return nil
	}
	c.open[m.dir] = nil
	m.finished = true
	p.add(step{kind: doFinish, conn: c, dir: m.dir, msg: m})
	return nil
}

// exchange begins an exchange with a request, or finds the one that a response
// belongs to: the oldest without a final one (RFC 9112 section 9.3).
func (c *conn) exchange(m *message) (*exchange, error) {
	if o := c.open[m.dir]; o != nil {
		return nil, fmt.Errorf("the message before it on %s goes on: end it with >> or <<", c.name)
	}
	if m.dir == toServer {
		x := &exchange{conn: c, request: m}
		c.exchanges = append(c.exchanges, x)
		return x, nil
	}
	for _, x := range c.exchanges {
		if x.response == nil {
			if m.interim() {
				x.interim = append(x.interim, m)
			} else {
				x.response = m
			}
			return x, nil
		}
	}
	x := &exchange{conn: c, response: m} // the capture began after the request
	c.exchanges = append(c.exchanges, x)
	return x, nil
}

func (c *conn) exchangeOf(m *message) *exchange {
	for _, x := range c.exchanges {
		if x.request == m || x.response == m {
			return x
		}
	}
	return nil
}

func (m *message) requestLine(words []string) ([]string, error) {
	if len(words) < 2 {
		return nil, errors.New("a request needs a method and a target")
	}
	m.method, m.target = words[0], words[1]
	return words[2:], nil
}

func (m *message) statusLine(words []string, reason string) ([]string, error) {
	if len(words) == 0 {
		return nil, errors.New("a response needs a status")
	}
	n, err := strconv.Atoi(words[0])
	if err != nil || n < 100 || n > 999 {
		return nil, fmt.Errorf("not a status: %q", words[0])
	}
	m.status, m.reason = n, reasons[n]
	if reason != "" {
		m.reason = reason
	}
	return words[1:], nil
}

func splitReason(line string) (words []string, reason string, err error) {
	if i := strings.IndexByte(line, '"'); i >= 0 {
		if reason, err = strconv.Unquote(line[i:]); err != nil {
			return nil, "", fmt.Errorf("not a Go string: %s", line[i:])
		}
		line = line[:i]
	}
	return strings.Fields(line), reason, nil
}

func (m *message) word(w string) error {
	switch {
	case w == "json":
		m.media = "application/json"
	case w == "sse":
		m.media = "text/event-stream"
	case w == "chunked":
		m.chunked = true
	case w == "gzip":
		m.gzip = true
	case w == "close":
		m.close = true
	case w == "HTTP/1.0":
		m.proto = "1.0"
	case strings.Contains(w, "/") && !strings.HasPrefix(w, "HTTP/"):
		m.media = w
	default:
		return fmt.Errorf("unknown word %q: a media type, json, sse, chunked, gzip, close, HTTP/1.0", w)
	}
	return nil
}

var (
	fieldLine = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+:")
	sseField  = regexp.MustCompile(`^(data|event|id|retry)?:`)
	shorthand = regexp.MustCompile(`^(rpc|result|error|rest|ping|fill)( |$)`)
)

// splitBlock divides a block into header fields and body, and reports whether
// it ends with "...".
func splitBlock(block []string, m *message) (fields, body []string, open bool) {
	if n := len(block); n > 0 && block[n-1] == "..." {
		open, block = true, block[:n-1]
	}
	for i, l := range block {
		switch {
		case l == "":
			return block[:i], block[i+1:], open
		case m.media == "text/event-stream" && sseField.MatchString(l), !fieldLine.MatchString(l):
			return block[:i], block[i:], open
		}
	}
	return block, nil, open
}

func (m *message) setFields(lines []string) {
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ":")
		m.fields = append(m.fields, field{name, strings.TrimSpace(value)})
	}
}

var reasons = map[int]string{
	100: "Continue", 101: "Switching Protocols", 103: "Early Hints",
	200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content",
	301: "Moved Permanently", 302: "Found", 303: "See Other", 304: "Not Modified", 307: "Temporary Redirect", 308: "Permanent Redirect",
	400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed", 406: "Not Acceptable",
	409: "Conflict", 413: "Content Too Large", 421: "Misdirected Request", 429: "Too Many Requests",
	500: "Internal Server Error", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout",
}
