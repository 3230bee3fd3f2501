package redact

import (
	"bytes"
	"encoding/base64"
	"net/netip"
	"strings"

	"mcp401/decode/jsonrpc"
	"mcp401/decode/mcp"
)

// A rule says what is done with a text.
type rule uint8

const (
	blanked  rule = iota // every word is replaced
	proseful             // words of the vocabulary stay
	measured             // and longer numbers
	named                // names stay
	linked               // a URL: scheme, host and path stay
	identity             // replaced as a whole
	secretly             // a credential or a part of one
	hosted               // a host and port
	stamped              // a date and time
)

// rules is how many there are, and the number of names in JSON for repeated.
const rules = byte(stamped) + 1

func (m *Masker) apply(r rule, b []byte) {
	if r == secretly {
		m.secret(b)
		return
	}
	m.repeated(byte(r), b, func(b []byte) { m.obey(r, b) })
}

func (m *Masker) obey(r rule, b []byte) {
	switch r {
	case proseful:
		m.prose(b)
	case measured:
		m.field(b)
	case named:
		m.names(b)
	case linked:
		m.link(b)
	case identity:
		m.id(b)
	case hosted:
		m.host(b)
	case stamped:
		if !dated(b) {
			m.field(b)
		}
	default:
		m.blank(b)
	}
}

// dated reports whether a text is a date of RFC 3339, with or without a zone.
func dated(b []byte) bool {
	const shape = "0000-00-00t00:00:00"
	if len(b) < len(shape) || len(b) > len(shape)+16 {
		return false
	}
	for i, c := range b {
		switch {
		case i < len(shape) && shape[i] == '0', i >= len(shape) && digit(c):
			if !digit(c) {
				return false
			}
		case i < len(shape):
			if c != shape[i] && c != 'T' {
				return false
			}
		case bytes.IndexByte([]byte(".:+-Zz"), c) < 0:
			return false
		}
	}
	return true
}

// headers says what may stay of the header fields that are known to be
// harmless, or that verdicts need. The value of any other field is blanked. To
// add one, put it here.
var headers = func() map[string]rule {
	h := map[string]rule{
		"location": linked, "content-location": linked, "referer": linked, "origin": linked, "x-mcp-debug-outbound-url": linked,
		"access-control-allow-origin": linked,
		"host":                        hosted, ":authority": hosted,
		"mcp-session-id": secretly, "last-event-id": secretly,
		"x-mcp-servers": named, "x-mcp-access-groups": named, "x-mcp-toolset-id": named, "mcp-name": named,
		"mcp-method": proseful, ":method": proseful, ":scheme": proseful, ":path": linked, ":status": measured,
		"x-litellm-mcp-debug": proseful, "x-mcp-debug-auth-resolution": proseful, "x-mcp-debug-server-auth-type": proseful,
		"x-mcp-debug-oauth2-token": proseful, "www-authenticate": proseful, "proxy-authenticate": proseful,
	}
	for name := range strings.FieldsSeq(`accept accept-encoding accept-language access-control-allow-credentials access-control-allow-headers
		access-control-allow-methods access-control-expose-headers access-control-max-age access-control-request-headers
		access-control-request-method age allow cache-control connection content-encoding content-language content-length content-type date
		expect expires keep-alive last-modified mcp-protocol-version pragma priority retry-after sec-fetch-dest sec-fetch-mode sec-fetch-site sec-fetch-user
		server te trailer transfer-encoding upgrade upgrade-insecure-requests user-agent vary via x-accel-buffering x-content-type-options
		x-contextforge-mcp-runtime x-frame-options x-litellm-version x-powered-by sec-ch-ua sec-ch-ua-mobile sec-ch-ua-platform dnt`) {
		h[name] = measured
	}
	return h
}()

// header masks the value of a header field, whose name is in lower case.
func (m *Masker) header(name string, v []byte) {
	switch {
	case mcp.IsCredential(name):
		m.credential(name, v)
	case name == "set-cookie":
		m.cookies(v)
	case name == "mcp-name" && bytes.HasPrefix(v, []byte("=?base64?")) && bytes.HasSuffix(v, []byte("?=")):
		m.encoded(v[9:len(v)-2], base64.StdEncoding, func(b []byte) { m.names(b) })
	default:
		m.apply(headers[name], v)
	}
}

// fieldName masks what in the name of a field may be a secret; the alias in
// x-mcp-ALIAS-FIELD is a name like others.
func (m *Masker) fieldName(b []byte) {
	if _, ok := headers[strings.ToLower(string(b))]; !ok {
		m.names(b)
	}
}

// credential masks the value of a credential field as it is read: quotes,
// scheme, a scheme written twice and a public prefix stay.
func (m *Masker) credential(name string, v []byte) {
	v = bytes.Trim(v, " \t")
	v = unquoted(v)
	if name == "cookie" {
		m.cookies(v)
		return
	}
	scheme, token, found := bytes.Cut(v, []byte(" "))
	low := strings.ToLower(string(scheme))
	switch {
	case mcp.IsScheme(low):
		token = bytes.TrimLeft(token, " \t")
	case mcp.NeedsScheme(name) && found:
		// A scheme that nobody knows may be half of a secret.
		m.standIn(scheme)
		token = bytes.TrimLeft(token, " \t")
		low = ""
	default:
		token = v
		low = ""
	}
	for low != "" {
		first, rest, _ := bytes.Cut(token, []byte(" "))
		if !strings.EqualFold(string(first), low) {
			break
		}
		token = bytes.TrimLeft(rest, " \t")
	}
	token = unquoted(token)
	if low == "basic" {
		if b, err := base64.StdEncoding.DecodeString(string(token)); err == nil {
			_, password, _ := bytes.Cut(b, []byte(":"))
			m.seen.add(password)
		}
	}
	m.secret(token)
}

func unquoted(b []byte) []byte {
	if len(b) >= 2 && (b[0] == '"' || b[0] == '\'') && b[len(b)-1] == b[0] {
		return b[1 : len(b)-1]
	}
	return b
}

// cookies masks a Cookie or Set-Cookie field: values and names, since both are
// the site's own. The attributes of Set-Cookie go as well.
func (m *Masker) cookies(v []byte) {
	for part := range bytes.SplitSeq(v, []byte(";")) {
		_, value, ok := bytes.Cut(part, []byte("="))
		if ok {
			m.seen.add(bytes.Trim(value, " \t\""))
		}
		for word := range bytes.FieldsFuncSeq(part, func(r rune) bool { return r == ' ' || r == '=' }) {
			m.standIn(word)
		}
	}
}

// jwt masks a token of three or five parts and reports whether it is one. Of a
// JWT the claims stay that say why it may be refused: exp, nbf, iat, aud, iss
// and scope (RFC 7519 section 4.1); everything else is blanked.
func (m *Masker) jwt(b []byte) bool {
	parts := bytes.Split(b, []byte("."))
	if len(parts) != 3 && len(parts) != 5 {
		return false
	}
	whole := string(b)
	head := claims(parts[0])
	if head == nil || len(parts) == 3 && claims(parts[1]) == nil {
		return false
	}
	rewrite := func(part []byte) {
		text := claims(part)
		m.jsonWith(text, claimRules, inClaims)
		base64.RawURLEncoding.Encode(part[:base64.RawURLEncoding.EncodedLen(len(text))], text)
	}
	rewrite(parts[0])
	rest := parts[1:]
	if len(parts) == 3 {
		rewrite(parts[1])
		rest = parts[2:]
	}
	for _, part := range rest {
		// Of the whole token, so that two tokens with equal signatures differ.
		was := string(part)
		m.fill(part, whole, len(was), false)
	}
	return true
}

// maxJWT is what of a token is decoded, as by the reader.
const maxJWT = 16 << 10

// claims decodes a part of a JWT; nil: it is none.
func claims(part []byte) []byte {
	if len(part) > maxJWT {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(string(bytes.TrimRight(part, "=")))
	if err != nil || !jsonrpc.Valid(b) || len(bytes.TrimLeft(b, " \t\r\n")) == 0 || bytes.TrimLeft(b, " \t\r\n")[0] != '{' {
		return nil
	}
	return b
}

// encoded masks what is base64 of something.
func (m *Masker) encoded(b []byte, enc *base64.Encoding, f func([]byte)) bool {
	text, err := enc.DecodeString(string(b))
	if err != nil || enc.EncodedLen(len(text)) != len(b) {
		m.blank(b)
		return false
	}
	f(text)
	enc.Encode(b, text)
	return true
}

// link masks an absolute URL or a request target.
func (m *Masker) link(b []byte) {
	switch {
	case bytes.Contains(b, []byte("://")) && !bytes.HasPrefix(b, []byte("/")):
		m.url(b)
	case bytes.HasPrefix(b, []byte("data:")), bytes.HasPrefix(b, []byte("blob:")):
		m.each(b, known, 0)
	case bytes.HasPrefix(b, []byte("/")), string(b) == "*":
		m.path(b)
	case len(b) > 0 && bytes.IndexByte(b, '/') < 0 && bytes.IndexByte(b, ':') > 0:
		m.host(b) // CONNECT
	default:
		m.path(b)
	}
}

// url masks an absolute URL: userinfo, query, fragment and secret segments of
// its path.
func (m *Masker) url(b []byte) {
	i := bytes.Index(b, []byte("://"))
	if i < 0 {
		m.path(b)
		return
	}
	m.each(b[:i], known, 0)
	rest := b[i+3:]
	end := bytes.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	authority := rest[:end]
	// A password with a slash that nobody escaped.
	if colon := bytes.IndexByte(authority, ':'); colon >= 0 && bytes.IndexByte(authority, '@') < 0 && authority[0] != '[' &&
		len(bytes.Trim(authority[colon+1:], "0123456789")) > 0 {
		if at := bytes.LastIndexByte(rest, '@'); at > 0 {
			end = at + 1
			if n := bytes.IndexAny(rest[end:], "/?#"); n >= 0 {
				end += n
			} else {
				end = len(rest)
			}
			authority = rest[:end]
		}
	}
	if at := bytes.LastIndexByte(authority, '@'); at >= 0 {
		user, password, ok := bytes.Cut(authority[:at], []byte(":"))
		m.standIn(user)
		if ok {
			m.seen.add(password)
			m.standIn(password)
		}
		authority = authority[at+1:]
	}
	m.host(authority)
	m.path(rest[end:])
}

// host masks a host and port, where it is not shaped as one or hosts are to be
// hidden.
func (m *Masker) host(b []byte) {
	if at := bytes.LastIndexByte(b, '@'); at >= 0 {
		m.seen.add(b[:at])
		m.blank(b[:at])
		b = b[at+1:]
	}
	if bytes.ContainsFunc(b, func(r rune) bool { return r > 'z' || !alnum(byte(r)) && !strings.ContainsRune("-._:[]%", r) }) {
		m.blank(b)
		return
	}
	name := b
	if i := bytes.LastIndexByte(b, ':'); i >= 0 && (bytes.IndexByte(b, ':') == i || b[0] == '[') {
		name = b[:i]
		if len(bytes.Trim(b[i+1:], "0123456789")) > 0 {
			m.blank(b[i+1:])
		}
	}
	if len(name) > 1 && name[0] == '[' && name[len(name)-1] == ']' {
		name = name[1 : len(name)-1]
	}
	if ip, err := netip.ParseAddr(string(name)); err == nil {
		if m.addr != nil {
			m.addr.text(name, ip)
		}
		return
	}
	if m.addr != nil {
		m.each(name, func(low string) bool { return low == "localhost" }, 0)
		return
	}
	for label := range bytes.SplitSeq(name, []byte(".")) {
		if s := string(label); len(s) > 63 || mcp.SecretPrefix(s) != "" || mcp.LooksSecret(s) {
			m.blank(label)
		} else {
			m.each(label, plain, 5)
		}
	}
}

// queries says what may stay of the parameters of a query or a form that are
// known to be harmless. To add one, put it here.
var queries = map[string]rule{
	"server_id": identity, "mcp_server_name": named, "toolset_name": named, "transportType": proseful, "include_disabled_tools": proseful,
	"tags": named, "url": linked, "grant_type": proseful, "token_type": proseful, "response_type": proseful, "scope": named, "resource": linked,
	"audience": linked, "redirect_uri": linked,
}

// path masks a path with its query and fragment.
func (m *Masker) path(b []byte) {
	end := bytes.IndexAny(b, "?#")
	if end < 0 {
		end = len(b)
	}
	for seg := range bytes.SplitSeq(b[:end], []byte("/")) {
		inQuery(seg, m.segment)
	}
	if end == len(b) {
		return
	}
	query, fragment := b[end+1:], []byte(nil)
	if b[end] == '#' {
		query, fragment = nil, b[end+1:]
	} else if i := bytes.IndexByte(query, '#'); i >= 0 {
		query, fragment = query[:i], query[i+1:]
	}
	m.form(query)
	for pair := range bytes.SplitSeq(fragment, []byte("&")) {
		if name, value, ok := bytes.Cut(pair, []byte("=")); ok {
			m.parameter(string(name), value)
		} else {
			inQuery(pair, m.names)
		}
	}
}

// segment masks one segment of a path: names stay, ids are replaced.
func (m *Masker) segment(b []byte) {
	if s := string(b); shapeOf(b).hex && len(s) >= 16 || mcp.LooksSecret(s) {
		if mcp.LooksSecret(s) {
			m.seen.add(b)
		}
		m.standIn(b)
		return
	}
	m.names(b)
}

// form masks the parameters of a query or a form.
func (m *Masker) form(b []byte) {
	for pair := range bytes.SplitSeq(b, []byte("&")) {
		name, value, ok := bytes.Cut(pair, []byte("="))
		if ok {
			m.parameter(string(name), value)
		}
		inQuery(name, m.names)
	}
}

func (m *Masker) parameter(name string, value []byte) {
	inQuery(value, func(b []byte) { m.apply(parameterRule(name), b) })
}

func parameterRule(name string) rule {
	if r, ok := queries[name]; ok {
		return r
	}
	if mcp.IsSecretName(name) {
		return secretly
	}
	return blanked
}

// head masks a message head as it stands on the wire, with its line ends.
func (m *Masker) head(b []byte, request bool) {
	first := true
	name := "" // of the field in hand, for lines that continue it
	for len(b) > 0 {
		n := bytes.IndexByte(b, '\n') + 1
		if n == 0 {
			n = len(b)
		}
		line := bytes.TrimRight(b[:n], "\r\n")
		b = b[n:]
		switch {
		case len(line) == 0:
		case first && request:
			m.requestLine(line)
			first = false
		case first:
			m.field(line)
			first = false
		case line[0] == ' ' || line[0] == '\t':
			// Continued (RFC 9112 section 5.2): half a credential is none.
			if headers[name] == blanked || mcp.IsCredential(name) || headers[name] == secretly {
				m.seen.add(bytes.TrimSpace(line))
				m.blank(line)
			} else {
				m.field(line)
			}
		default:
			name = m.fieldLine(line)
		}
	}
}

func (m *Masker) requestLine(line []byte) {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	m.each(method, known, 0)
	i := bytes.LastIndexByte(rest, ' ')
	if i < 0 {
		i = len(rest)
	} else {
		m.field(rest[i:])
	}
	m.link(rest[:i])
}

func (m *Masker) fieldLine(line []byte) string {
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		m.blank(line)
		return ""
	}
	low := strings.ToLower(string(bytes.TrimSpace(name)))
	m.header(low, bytes.Trim(value, " \t"))
	m.fieldName(name)
	return low
}
