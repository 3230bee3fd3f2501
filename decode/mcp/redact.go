package mcp

import (
	"net/url"
	"strings"
)

// Redacted stands where a secret was.
const Redacted = "[redacted]"

// queryKept lists the query parameters whose values are shown. To add one, put
// it here; its value is still cleaned.
var queryKept = map[string]bool{
	"server_id":              true,
	"mcp_server_name":        true,
	"toolset_name":           true,
	"transportType":          true,
	"include_disabled_tools": true,
	"tags":                   true,
}

// querySession lists the query parameters that carry the session of the
// HTTP+SSE transport: Python's, TypeScript's, and what others write. To add
// one, put it here.
var querySession = map[string]bool{
	"session_id": true,
	"sessionId":  true,
	"sessionid":  true,
	"session":    true,
}

// Redact makes a request target safe to print: userinfo is removed, what looks
// like a secret is replaced, and so is the value of each parameter whose name
// says that it is one. It is for lists of messages of any kind; an Exchange
// keeps of a query only the values of parameters that are known.
func Redact(s string) string {
	t := target{all: true}
	t.parse(s)
	s = t.origin + t.path
	if t.query != "" {
		s += "?" + t.query
	}
	return s
}

// maxQuery bounds what Redact shows of a query: it is cut at the parameter
// after it.
const maxQuery = 2048

// A target is what a request target says.
type target struct {
	origin   string // absolute form: scheme and authority without userinfo
	path     string
	query    string
	session  string // as sent: a secret
	serverID string
	all      bool // of the query everything is kept that does not look like a secret
}

func parseTarget(s string) target {
	var t target
	t.parse(s)
	return t
}

func (t *target) parse(s string) {
	s, _, _ = strings.Cut(s, "#")
	path, query, _ := strings.Cut(s, "?")
	if scheme, rest, ok := strings.Cut(path, "://"); ok && !strings.ContainsAny(scheme, "/") {
		authority, p, found := cutBefore(unslash(rest), '/')
		t.origin, path = clean(scheme, 16)+"://"+cleanHost(authority), p
		if !found {
			path = ""
		}
	} else if !strings.HasPrefix(path, "/") && strings.ContainsAny(path, "@:") {
		path = cleanHost(path) // CONNECT's authority form
		t.path = path
		return
	}
	t.path = cleanPath(path, t.all)
	for pair := range strings.SplitSeq(query, "&") {
		if pair != "" {
			t.add(pair)
		}
	}
}

// add takes one parameter of the query.
func (t *target) add(pair string) {
	name, value, has := strings.Cut(pair, "=")
	if unescaped, err := url.QueryUnescape(value); err == nil {
		value = unescaped
	}
	if querySession[name] && t.session == "" {
		t.session = value
	}
	plain, err := url.QueryUnescape(name)
	if err != nil {
		plain = name
	}
	shown := clean(name, 64)
	if plain != name && looksSecret(plain) {
		shown = Redacted
	}
	switch {
	case !has:
		if !queryKept[name] && len(name) > 32 {
			shown = Redacted
		}
	case name == "server_id":
		t.serverID = cleanID(value)
		shown += "=" + t.serverID
	case queryKept[name]:
		shown += "=" + clean(value, 128)
	case name == "url" && strings.Contains(value, "://"):
		// MCP Inspector's proxy is told its upstream here.
		shown += "=" + cleanURL(value)
	case t.all && len(t.query) < maxQuery && !secretName(name) && !querySession[name] && !looksSecret(value) && !looksSecret(plain) && !strings.Contains(value, "@"):
		shown = printable(pair)
	default:
		shown += "=…"
	}
	if t.query != "" {
		t.query += "&"
	}
	t.query += shown
}

// unslash removes userinfo that holds a slash, which ends an authority (RFC
// 3986 section 3.2): a password that nobody escaped. What stands behind a
// colon and is no port is one.
func unslash(rest string) string {
	authority, path, _ := cutBefore(rest, '/')
	_, port, ok := strings.Cut(authority, ":")
	if !ok || strings.Contains(authority, "@") || strings.Trim(port, "0123456789") == "" || authority[0] == '[' {
		return rest
	}
	if i := strings.LastIndexByte(path, '@'); i >= 0 {
		return path[i+1:]
	}
	return rest
}

func cutBefore(s string, c byte) (before, after string, found bool) {
	if i := strings.IndexByte(s, c); i >= 0 {
		return s[:i], s[i:], true
	}
	return s, "", false
}

// cleanURL keeps scheme, host, port and path of an absolute URL, or the path
// of a relative one.
func cleanURL(s string) string {
	t := parseTarget(s)
	return t.origin + t.path
}

// cleanHost removes userinfo from an authority.
func cleanHost(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = s[i+1:]
	}
	return clean(s, 255)
}

// cleanOrigin keeps scheme and authority of an Origin or Referer.
func cleanOrigin(s string) string { return parseTarget(s).origin }

// cleanPath replaces the segments of a path that look like secrets. as: the
// others stand as they were sent; otherwise escapes are undone.
func cleanPath(p string, as bool) string {
	if len(p) > 1024 {
		p = p[:1024]
	}
	if len(p) < 8 {
		return printable(p)
	}
	var b strings.Builder
	for i, seg := range strings.Split(p, "/") {
		if i > 0 {
			b.WriteByte('/')
		}
		plain := seg
		if u, err := url.PathUnescape(seg); err == nil {
			plain = u
		}
		if plain != seg && !as || looksSecret(plain) {
			seg = clean(plain, 128)
			// What was escaped may hold a slash or a space: one segment stays one.
			seg = strings.NewReplacer("/", "%2F", " ", "%20", "?", "%3F").Replace(seg)
		}
		b.WriteString(seg)
	}
	return printable(b.String())
}

// cleanID keeps identifiers such as a server's 32 hex digits or a UUID, which
// would otherwise look like secrets.
func cleanID(s string) string {
	if len(s) > 36 {
		return clean(s, 64)
	}
	if strings.HasPrefix(s, "sk-") || strings.HasPrefix(s, "eyJ") {
		return Redacted
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isHex(c) && c != '-' {
			return clean(s, 64)
		}
	}
	return strings.Clone(s)
}

// clean makes a text safe to print: words that look like secrets, credentials
// behind their scheme or name, mail addresses and URL queries are replaced,
// control characters become spaces, and what is longer than n bytes is cut.
func clean(s string, n int) string {
	// A copy, so that a short text does not keep a large body alive.
	return strings.Clone(cleanView(s, n))
}

// cleanView is clean, but what it returns may be a part of s.
func cleanView(s string, n int) string {
	// A secret must be seen whole to be known for one, so the cut comes last;
	// the first one only bounds the work.
	const most = 4096
	if len(s) > most {
		s = s[:most]
	}
	if !suspicious(s) {
		return cut(printable(s), n)
	}
	var b strings.Builder
	hide := 0 // words still to hide
	for s != "" {
		i := wordLen(s)
		if i == 0 {
			b.WriteByte(s[0])
			s = s[1:]
			continue
		}
		word := s[:i]
		s = s[i:]
		out, next := cleanWord(word, hide > 0)
		if hide > 0 && !schemes[strings.ToLower(word)] {
			hide--
		}
		b.WriteString(out)
		if next || names(word, s) {
			hide = 1
		}
	}
	return cut(printable(b.String()), n)
}

// suspicious reports whether s needs a closer look: short names do not, and
// sentences that speak of no credential.
func suspicious(s string) bool {
	run, blank := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '@' || c == '=' || c == ':' || c >= 0x80:
			return true
		case c <= ' ' || c == '"' || c == '\'' || c == ',' || c == '(':
			run, blank = 0, true
		default:
			run++
			if run >= 16 || (c == '-' || c == '_' || c == '.') && run <= 8 && prefixed(s[i+1-run:]) {
				return true
			}
		}
	}
	if !blank {
		return prefixed(s) || strings.HasPrefix(s, "eyJ")
	}
	low := strings.ToLower(s)
	for _, w := range secretWords {
		if strings.Contains(low, w) {
			return true
		}
	}
	return false
}

// wordLen is the length of the word at the start of s, 0 at a separator.
func wordLen(s string) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ' ', '\t', '\r', '\n', '"', '\'', '`', ',', ';', '(', ')', '[', ']', '{', '}', '<', '>', '|', '\\':
			return i
		}
	}
	return len(s)
}

// cleanWord cleans one word. Next says that the word behind it is a secret.
func cleanWord(w string, hide bool) (out string, next bool) {
	low := strings.ToLower(w)
	switch {
	case schemes[strings.TrimRight(low, ":=")]:
		return w, true
	case hide:
		return hideWord(w)
	case strings.Contains(w, "://"):
		return cleanURL(w), false
	case strings.IndexByte(w, '@') > 0:
		return Redacted, false
	}
	if i := strings.IndexAny(w, "=:"); i > 0 {
		name, value := w[:i], w[i+1:]
		if value != "" && secretName(name) {
			return w[:i+1] + Redacted, false
		}
		if looksSecret(w) {
			return Redacted, false // base64 has the mark too
		}
		if value != "" && i+1 < len(w) {
			v, n := cleanWord(value, false)
			h, _ := cleanWord(name, false)
			return h + w[i:i+1] + v, n
		}
	}
	if looksSecret(w) {
		return Redacted, false
	}
	return w, false
}

// hideWord replaces a word that stands where a secret is expected. Marks such
// as "=" alone, and plain words of a sentence, are none.
func hideWord(w string) (string, bool) {
	if w == "=" || w == ":" || w == "is" {
		return w, true
	}
	if sentence[strings.ToLower(strings.TrimRight(w, ".:!?"))] {
		return w, false
	}
	return Redacted, false
}

// sentence lists the words that follow "token", "bearer" or "key" in an
// ordinary message, where they are no secret.
var sentence = map[string]bool{
	"token": true, "tokens": true, "expired": true, "has": true, "not": true, "missing": true, "invalid": true, "error": true,
	"authentication": true, "authorization": true, "required": true, "auth": true, "key": true, "or": true, "and": true, "in": true,
	"passed": true, "prefix": true, "for": true, "was": true, "cannot": true, "must": true, "realm": true, "scheme": true,
	"header": true, "exchange": true, "endpoint": true, "credentials": true, "access": true, "could": true, "verification": true,
	"validation": true, "audience": true, "scope": true, "does": true, "provided": true, "to": true, "from": true, "type": true,
}

// schemes are the words behind which a credential stands.
var schemes = map[string]bool{"bearer": true, "basic": true, "dpop": true, "apikey": true, "digest": true, "negotiate": true}

// secretNames are parts of names whose value is a secret.
var secretNames = []string{
	"token", "secret", "password", "passwd", "pwd", "api_key", "apikey", "api-key", "api key", "authorization", "assertion",
	"credential", "cookie", "session", "code", "signature", "private", "key",
}

// secretWords are the words in whose company secrets stand: schemes, parts of
// names, and the public beginnings of some.
var secretWords = append([]string{"bearer", "basic", "dpop", "apikey", "digest", "negotiate", "eyj", "aiza", "akia", "asia"}, secretNames...)

func secretName(s string) bool {
	s = strings.ToLower(s)
	for _, w := range secretNames {
		if strings.HasSuffix(strings.TrimRight(s, " "), w) {
			return !strings.HasSuffix(s, "status_code") && !strings.HasSuffix(s, "error_code")
		}
	}
	return false
}

// names reports whether a value follows that the word just read names, as in
// "token: abc", "API Key = abc" and {"password": "abc"}.
func names(word, rest string) bool {
	if strings.HasSuffix(word, ":") || strings.HasSuffix(word, "=") {
		return secretName(word[:len(word)-1])
	}
	rest = strings.TrimLeft(rest, " \"')")
	return rest != "" && (rest[0] == ':' || rest[0] == '=') && secretName(word)
}

// prefixes are the public beginnings of secrets. To add one, put it here.
var prefixes = []string{
	"sk-", "pk-", "sk_live_", "sk_test_", "rk_live_", "gho_", "ghp_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",
	"xoxb-", "xoxp-", "xoxa-", "xapp-", "ya29.", "AIza", "AKIA", "ASIA", "hf_", "npm_", "pypi-", "dop_v1_", "lin_api_", "ntn_", "secret_", "atlas-",
}

// prefixed reports whether s begins as a known kind of secret does.
func prefixed(s string) bool { return prefixOf(s) != "" }

func prefixOf(s string) string {
	for _, p := range prefixes {
		if strings.HasPrefix(s, p) {
			return p
		}
	}
	return ""
}

// looksSecret tells random text from names and prose. It errs on the safe
// side: a name that is taken for a secret costs a word in a report.
func looksSecret(w string) bool {
	w = strings.Trim(w, ".:!?*")
	if p := prefixOf(w); p != "" {
		rest := w[len(p):]
		return len(rest) >= 12 || len(rest) >= 3 && strings.ContainsAny(rest, "0123456789")
	}
	if strings.HasPrefix(w, "eyJ") && len(w) > 12 {
		return true
	}
	if len(w) < 16 {
		return false
	}
	hex := true
	var run, all mix
	for i := 0; i < len(w); i++ {
		if !isHex(w[i]) && w[i] != '-' {
			hex = false
		}
		if k := classOf(w[i]); k != 0 {
			run.add(k)
			continue
		}
		if run.secret() {
			return true
		}
		all.join(run)
		run = mix{}
	}
	all.join(run)
	if hex && len(w) >= 32 || run.secret() {
		return true
	}
	// Marks such as - and + part the runs of base64, so all of it is judged
	// once more, more strictly.
	n := all.letters + all.digits
	return n >= 24 && (all.digits >= 2 && all.turns*10 >= 3*n || all.turns*5 >= 2*n)
}

// A mix counts the letters and digits of a run, and how often it turns from
// small letters to capitals to digits.
type mix struct {
	digits, letters, turns int
	last                   byte
}

func (m *mix) add(k byte) {
	if k == 'd' {
		m.digits++
	} else {
		m.letters++
	}
	if m.last != 0 && k != m.last {
		m.turns++
	}
	m.last = k
}

// join adds another run; what parts them is no turn.
func (m *mix) join(o mix) {
	m.digits += o.digits
	m.letters += o.letters
	m.turns += o.turns
}

// secret judges one run by how mixed it is: names turn at word borders, random
// text at every other letter.
func (m *mix) secret() bool {
	n := m.digits + m.letters
	switch {
	case n >= 40:
		return m.digits > 0 && m.turns >= 4 || m.turns*4 >= n
	case n >= 24:
		return m.digits >= 2 && m.letters >= 2 && m.turns >= 4 || m.turns*5 >= n*2
	case n >= 16:
		return m.digits >= 3 && m.letters >= 3 && m.turns >= 5
	}
	return false
}

func classOf(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return 'd'
	case 'a' <= c && c <= 'z':
		return 'l'
	case 'A' <= c && c <= 'Z':
		return 'u'
	}
	return 0
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// printable replaces what a terminal would not show.
func printable(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] == 0x7f || s[i] >= 0x80 {
			return strings.Map(func(r rune) rune {
				if r < 0x20 || r == 0x7f || 0x80 <= r && r < 0xa0 {
					return ' '
				}
				return r
			}, strings.ToValidUTF8(s, "\uFFFD"))
		}
	}
	return s
}

// cut shortens s to n bytes at a character's border.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
