package http1

import (
	"bytes"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A message is what the head in hand says. It is reused.
type message struct {
	ok     bool // the start line is one
	proto  string
	method []byte
	target []byte
	status int // 0: not a number

	fields  httpmsg.Header
	host    []byte
	upgrade []byte
	expect  bool // Expect: 100-continue

	length  int64 // Content-Length; -1: none
	chunked bool
	coded   bool // a transfer coding that does not end in chunked

	odd oddity
}

// An oddity is a bit for each thing that is wrong with a head and does not
// keep it from being read.
type oddity uint16

const (
	oddFold oddity = 1 << iota
	oddSpace
	oddField
	oddLength
	oddBoth
	oddOldTE
	oddTE
	oddStatus
	oddCoded
	oddMany
)

// oddities gives the bits of an oddity their notes, in order.
var oddities = [...]struct{ code, text string }{
	{"http1/obs-fold", "a field value is folded over lines"},
	{"http1/space-before-colon", "white space before a colon"},
	{"http1/bad-field", "a line of a head is not a field"},
	{"http1/bad-length", "content-length is not one number"},
	{"http1/length-and-coding", "transfer-encoding overrides content-length"},
	{"http1/coding-in-1.0", "transfer-encoding in an http/1.0 message is ignored"},
	{"http1/bad-transfer-encoding", "transfer-encoding does not end in chunked"},
	{"http1/bad-status", "the status code is not a number"},
	{"http1/transfer-coding", "content has a transfer coding beside chunked, which is not undone"},
	{"limit/fields", "header fields are left out"},
}

// headEnd returns the length of the head at the begin of b, its empty line
// included, or -1; then next is where to search when more has come.
func headEnd(b []byte, from int) (n, next int) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1, len(b)
		}
		i += from + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1, 0
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2, 0
		case i >= len(b) || i+1 >= len(b) && b[i] == '\r':
			return -1, i - 1
		}
		from = i
	}
}

// parse reads a head. b ends with its empty line, or after a whole line where
// the head was too long. It returns false when b must be copied before it can
// be read, because folded lines are joined in place.
func (m *message) parse(b []byte, request, own bool, most int) bool {
	*m = message{fields: m.fields[:0], length: -1}
	if m.fields == nil {
		m.fields = make(httpmsg.Header, 0, 16) // as many as most heads have, in one piece
	}
	line, rest := cutLine(b)
	if request {
		m.ok = m.requestLine(line)
	} else {
		m.ok = m.statusLine(line)
	}
	for len(rest) > 0 && m.ok {
		at := rest
		line, rest = cutLine(rest)
		if len(line) == 0 {
			break
		}
		// RFC 9112 section 5.2: obs-fold is read as spaces.
		for len(rest) > 0 && (rest[0] == ' ' || rest[0] == '\t') {
			if !own {
				return false
			}
			m.odd |= oddFold
			end := len(line)
			_, rest = cutLine(rest)
			n := len(at) - len(rest)
			for n > 0 && (at[n-1] == '\n' || at[n-1] == '\r') {
				n--
			}
			n = max(n, end)
			line = at[:n]
			for i := end; i < n; i++ {
				if line[i] == '\r' || line[i] == '\n' {
					line[i] = ' '
				}
			}
		}
		m.field(line, most)
	}
	m.frame()
	return true
}

// cutLine cuts the first line off b. RFC 9112 section 2.2: a bare LF ends a
// line too.
func cutLine(b []byte) (line, rest []byte) {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		return b, nil
	}
	line, rest = b[:i], b[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

// requestLine reads a request line of a version of HTTP/1. Spaces within the
// target are taken as part of it.
func (m *message) requestLine(line []byte) bool {
	n := len(line) - len("HTTP/1.x")
	i := bytes.IndexByte(line, ' ')
	if i <= 0 || n <= i || line[n-1] != ' ' || !m.version(line[n:]) || isControl(line[i+1]) {
		return false
	}
	m.method, m.target = line[:i], bytes.Trim(line[i:n], " ")
	return isToken(m.method) && len(m.target) > 0
}

// statusLine reads a status line. The reason phrase means nothing.
func (m *message) statusLine(line []byte) bool {
	if len(line) < len("HTTP/1.x") || !m.version(line[:8]) {
		return false
	}
	code := bytes.TrimLeft(line[8:], " ")
	if i := bytes.IndexByte(code, ' '); i >= 0 {
		code = code[:i]
	}
	if len(code) == 3 && isDigit(code[0]) && isDigit(code[1]) && isDigit(code[2]) {
		m.status = int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0')
	} else {
		m.odd |= oddStatus
	}
	return true
}

func (m *message) version(b []byte) bool {
	if string(b[:7]) != "HTTP/1." || !isDigit(b[7]) {
		return false
	}
	// RFC 9110 section 2.5: an unknown minor version is read as the highest known.
	m.proto = "1.1"
	if b[7] == '0' {
		m.proto = "1.0"
	}
	return true
}

// field reads one field line. Fields that frame the message count even when
// there are too many to be kept.
func (m *message) field(line []byte, most int) {
	i := bytes.IndexByte(line, ':')
	if i <= 0 || line[0] == ' ' || line[0] == '\t' {
		m.odd |= oddField
		return
	}
	name, value := line[:i], trim(line[i+1:])
	if c := name[i-1]; c == ' ' || c == '\t' {
		m.odd |= oddSpace
		if name = trim(name); len(name) == 0 {
			return
		}
	}
	f := httpmsg.Field{Name: name, Value: value}
	switch len(name) {
	case len("host"):
		if m.host == nil && f.Is("host") {
			m.host = value
		}
	case len("expect"):
		if f.Is("expect") {
			m.expect = lower(value) == "100-continue"
		}
	case len("upgrade"):
		if f.Is("upgrade") {
			m.upgrade = value
		}
	case len("content-length"):
		if f.Is("content-length") {
			m.contentLength(value)
		}
	case len("transfer-encoding"):
		if f.Is("transfer-encoding") {
			m.transferEncoding(value)
		}
	}
	if len(m.fields) >= most {
		m.odd |= oddMany
		return
	}
	m.fields = append(m.fields, f)
}

// contentLength reads a Content-Length. RFC 9112 section 6.3, case 5: a list
// of equal values, in one line or several, is that value.
func (m *message) contentLength(v []byte) {
	for more := true; more; {
		var one []byte
		one, v, more = bytes.Cut(v, []byte{','})
		n, ok := decimal(trim(one))
		if !ok || m.length >= 0 && m.length != n {
			m.odd |= oddLength
			return
		}
		m.length = n
	}
}

// transferEncoding reads a Transfer-Encoding. Only what comes last frames the
// message.
func (m *message) transferEncoding(v []byte) {
	for more := true; more; {
		var one []byte
		one, v, more = bytes.Cut(v, []byte{','})
		one, _, _ = bytes.Cut(one, []byte{';'})
		switch lower(trim(one)) {
		case "", "identity":
		case "chunked":
			if m.coded {
				m.odd |= oddCoded
			}
			m.chunked, m.coded = true, false
		default:
			m.chunked, m.coded = false, true
		}
	}
}

// frame settles what the framing fields mean together.
func (m *message) frame() {
	if m.odd&oddLength != 0 {
		m.length = -1
	}
	if !m.chunked && !m.coded {
		return
	}
	if m.proto == "1.0" {
		// RFC 9112 section 6.1: faulty. Clients of 1.0 messages do not look for chunks.
		m.chunked, m.coded = false, false
		m.odd |= oddOldTE
		return
	}
	if m.coded {
		m.odd |= oddTE
	}
	if m.length >= 0 || m.odd&oddLength != 0 {
		// RFC 9112 section 6.3, case 3: this may be an attempt to smuggle a request.
		m.length = -1
		m.odd = m.odd&^oddLength | oddBoth
	}
}

// begin is at or before the first byte of a message.
func (c *Conn) begin(s *side, at decode.Mark, p []byte) []byte {
	// RFC 9112 section 2.2: empty lines before a request line are skipped.
	for len(p) > 0 && (p[0] == '\r' || p[0] == '\n') {
		p = p[1:]
	}
	if len(p) == 0 {
		return nil
	}
	if s.dir == decode.ToClient && c.waits() {
		s.state, s.after, s.release = held, start, false
		return p
	}
	s.from = at
	n, _ := headEnd(p, 0)
	if n < 0 || n > c.most.head {
		s.state, s.buf, s.scan, s.sure = head, s.buf[:0], 0, false
		return c.more(s, at, p)
	}
	if startLine(s.dir, p[:n], 0) == decode.No {
		s.buf = s.buf[:0]
		return c.noStart(s, at, p)
	}
	c.message(s, at, p[:n], false)
	return p[n:]
}

// more adds to a head that came in pieces.
func (c *Conn) more(s *side, at decode.Mark, p []byte) []byte {
	old := len(s.buf)
	s.buf = append(s.buf, p[:min(len(p), c.most.head-old)]...)
	if !s.sure {
		switch startLine(s.dir, s.buf, s.scan) {
		case decode.No:
			s.buf = s.buf[:old]
			return c.noStart(s, at, p)
		case decode.Yes:
			s.sure = true
		}
	}
	n, next := headEnd(s.buf, s.scan)
	s.scan = next
	switch {
	case n >= 0:
		p = p[n-old:]
		c.message(s, at, s.buf[:n], true)
		return p
	case len(s.buf) >= c.most.head:
		p = p[len(s.buf)-old:]
		c.longHead(s, at)
		return p
	}
	return nil
}

// noStart is for bytes where a start line should be: first those in buf, then p.
func (c *Conn) noStart(s *side, at decode.Mark, p []byte) []byte {
	if s.dir == decode.ToServer && s.wants != 0 {
		s.state, s.after, s.release = held, start, false
		if len(s.buf) > 0 {
			c.keep(s, item{at: s.from, p: append([]byte(nil), s.buf...)})
		}
		return p
	}
	from, old := s.from, append([]byte(nil), s.buf...)
	c.derail(s, at)
	if len(old) > 0 {
		c.feed(s, from, old)
	}
	return p
}

// longHead is for a head that is beyond the bound. What was read of it counts,
// and the rest is passed over.
func (c *Conn) longHead(s *side, at decode.Mark) {
	c.warn("limit/head", at, len(s.buf), "a message head is cut off")
	b := s.buf[:bytes.LastIndexByte(s.buf, '\n')+1]
	if len(b) > 0 && c.msg.parse(b, s.dir == decode.ToServer, true, c.most.fields) && c.msg.ok {
		s.seen = true
		if s.dir == decode.ToServer {
			c.request(s, at)
		} else {
			c.response(s, at)
		}
	}
	c.lose(s, at)
}

// message reads a whole head and sets what follows it.
func (c *Conn) message(s *side, at decode.Mark, b []byte, own bool) {
	request := s.dir == decode.ToServer
	if !c.msg.parse(b, request, own, c.most.fields) {
		s.buf = append(s.buf[:0], b...)
		c.msg.parse(s.buf, request, true, c.most.fields)
	}
	s.seen = true
	for i := range oddities {
		if c.msg.odd&(1<<i) != 0 {
			c.warn(oddities[i].code, at, 0, oddities[i].text)
		}
	}
	if request {
		c.request(s, at)
		c.requestBody(s, at)
	} else if c.response(s, at) {
		c.responseBody(s, at)
	}
}

func (c *Conn) newID() uint32 {
	c.count++
	return c.count + c.After
}

// request tells the head of a request.
func (c *Conn) request(s *side, at decode.Mark) {
	m := &c.msg
	s.id, s.active, s.head = c.newID(), true, at
	if string(m.target) != c.target {
		c.target = string(m.target)
	}
	if a := authority(m); string(a) != c.authority {
		c.authority = string(a)
	}
	e := c.event(httpmsg.Head, s.dir, s.id, at)
	e.From, e.Proto, e.Header = s.from, m.proto, m.fields
	e.Method, e.Target = methodName(m.method), c.target
	e.Authority, e.Scheme = c.authority, c.scheme
	method := e.Method
	c.emit(e)
	c.asked(s, method, c.target, at)
}

// requestBody sets the framing of a request (RFC 9112 section 6.3).
func (c *Conn) requestBody(s *side, at decode.Mark) {
	m := &c.msg
	s.wants, s.connect = 0, string(m.method) == "CONNECT"
	if c.queue.len() > 0 && c.queue.last().id == s.id && (m.upgrade != nil || s.connect) {
		s.wants = s.id
	}
	switch {
	case m.chunked:
		c.startChunk(s)
	case m.coded:
		s.state = toClose
	case m.odd&oddLength != 0:
		// Nobody can tell where this request ends.
		c.lose(s, at)
	case m.length > 0 && m.expect:
		s.state, s.body, s.left, s.buf = peek, length, m.length, s.buf[:0]
	case m.length > 0:
		s.state, s.left = length, m.length
	default:
		c.whole(s, at)
	}
}

// response tells the head of a response and reports whether content may follow.
func (c *Conn) response(s *side, at decode.Mark) bool {
	m := &c.msg
	interim := 100 <= m.status && m.status < 200 && m.status != 101
	p := c.answers(s.from, at, !interim)
	s.id, s.head = p.id, at
	up := c.changes(&p, at)
	if up && c.inner != nil && lower(m.upgrade) == "h2c" {
		interim = true
	}
	s.active = !interim
	e := c.event(httpmsg.Head, s.dir, s.id, at)
	e.From, e.Proto, e.Header = s.from, m.proto, m.fields
	e.Method, e.Status, e.Interim = p.method, m.status, interim
	c.emit(e)
	switch {
	case interim:
		s.state, s.last = start, at
		if up {
			s.state = tunnel
		}
	case up, p.method == "HEAD", m.status == 204, m.status == 304:
		c.done(s, at)
	default:
		s.body = toClose
		if p.method == "" {
			s.body = peek
		}
		return true
	}
	return false
}

// responseBody sets the framing of a response that may have content.
func (c *Conn) responseBody(s *side, at decode.Mark) {
	m := &c.msg
	unseen := s.body == peek
	switch {
	case m.chunked:
		c.startChunk(s)
	case m.coded || m.length < 0:
		s.state = toClose
	case m.length == 0:
		c.done(s, at)
		return
	default:
		s.state, s.left = length, m.length
	}
	if unseen {
		// The request may have been a HEAD: then the next head follows at once.
		s.state, s.body, s.buf = peek, s.state, s.buf[:0]
	}
}

// authority is the host that a request names. RFC 9112 section 3.2.2: a target
// in absolute form has precedence.
func authority(m *message) []byte {
	if string(m.method) == "CONNECT" {
		return m.target
	}
	if len(m.target) > 0 && m.target[0] != '/' {
		if _, after, ok := bytes.Cut(m.target, []byte("://")); ok {
			if i := bytes.IndexAny(after, "/?#"); i >= 0 {
				after = after[:i]
			}
			return after
		}
	}
	return m.host
}

// methodName returns the method as a string, without an allocation for those
// of RFC 9110, RFC 5789 and WebDAV that are seen in practice.
func methodName(b []byte) string {
	switch string(b) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "DELETE":
		return "DELETE"
	case "PUT":
		return "PUT"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	case "PROPFIND":
		return "PROPFIND"
	}
	return string(b)
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isTchar reports whether c may stand in a token (RFC 9110 section 5.6.2).
func isTchar(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', isDigit(c):
		return true
	}
	return c != 0 && c < 0x80 && bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), c) >= 0
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !isTchar(c) {
			return false
		}
	}
	return len(b) > 0
}

// trim cuts optional white space (RFC 9110 section 5.6.3) off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// lower returns b in lower case; what is too long to be a known word is "?".
func lower(b []byte) string {
	var a [16]byte
	if len(b) > len(a) {
		return "?"
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		a[i] = c
	}
	switch string(a[:len(b)]) {
	case "":
		return ""
	case "chunked":
		return "chunked"
	case "100-continue":
		return "100-continue"
	}
	return string(a[:len(b)])
}

// decimal reads digits; ok is false for anything else and beyond an int64.
func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		if !isDigit(c) || n > (1<<63-1-9)/10 {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, len(b) > 0
}
