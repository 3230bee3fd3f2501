package mcp

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"math"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"mcp401/decode/jsonrpc"
)

// credentialHeaders are the fields that prove who asks. To add one, put it
// here. The value says whether it must name a scheme.
var credentialHeaders = map[string]bool{
	"authorization":       true,
	"proxy-authorization": true,
	"x-litellm-api-key":   false,
	"x-mcp-auth":          false,
	"x-api-key":           false,
	"api-key":             false,
	"x-goog-api-key":      false,
	"cookie":              false,
}

// notCredentials are the fields of the x-mcp- family that prove nothing; all
// others of the form x-mcp-<alias>-<header> are credentials for one server.
var notCredentials = map[string]bool{
	"x-mcp-servers":       true,
	"x-mcp-access-groups": true,
	"x-mcp-toolset-id":    true,
}

// isCredential reports whether a field, by its lower-case name, is one.
func isCredential(name []byte) bool {
	if _, ok := credentialHeaders[string(name)]; ok {
		return true
	}
	rest, ok := bytes.CutPrefix(name, []byte("x-mcp-"))
	return ok && !notCredentials[string(name)] && !bytes.HasPrefix(rest, []byte("debug-")) && bytes.IndexByte(rest, '-') > 0
}

// A hasher is the keyed hash of one run: HMAC-SHA256 cut to 32 bits. It says
// that two values are equal and nothing else about them.
type hasher struct {
	mac hash.Hash
	sum []byte
}

func newHasher(key []byte) hasher {
	if key == nil {
		key = []byte("mcp401")
	}
	return hasher{mac: hmac.New(sha256.New, key)}
}

func (h *hasher) hash(s string) string {
	h.mac.Reset()
	h.mac.Write([]byte(s))
	h.sum = h.mac.Sum(h.sum[:0])
	return hex.EncodeToString(h.sum[:4])
}

// knownSchemes are the schemes that are looked for in fields that need none.
var knownSchemes = map[string]bool{
	"bearer": true, "basic": true, "token": true, "apikey": true, "digest": true, "dpop": true, "negotiate": true, "ntlm": true,
	"hawk": true, "aws4-hmac-sha256": true, "hoba": true, "mutual": true, "scram-sha-256": true, "vapid": true, "privatetoken": true,
}

// credential reads one credential field.
func (h *hasher) credential(name, value string) Credential {
	c := Credential{Header: cut(name, 128), Whole: h.hash(value)}
	value = strings.Trim(value, " \t")
	value = c.unquote(value)
	needs := credentialHeaders[name]
	scheme, token, found := strings.Cut(value, " ")
	low := strings.ToLower(scheme)
	switch {
	case name == "cookie":
		token = value
	case knownSchemes[low], needs && found && isToken(scheme):
		c.Scheme = clean(low, 32)
		token = strings.TrimLeft(token, " \t")
	default:
		token = value
		if needs {
			c.Flaws |= NoScheme
		}
	}
	token = c.undouble(low, token)
	token = c.unquote(token)
	c.Len, c.Hash = len(token), h.hash(token)
	c.judge(token)
	return c
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		if !tokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// unquote removes one pair of quotes around s.
func (c *Credential) unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		c.Flaws |= Quoted
		return s[1 : len(s)-1]
	}
	return s
}

// undouble removes the scheme where it is written more than once.
func (c *Credential) undouble(scheme, token string) string {
	for c.Scheme != "" {
		first, rest, _ := strings.Cut(token, " ")
		if !strings.EqualFold(first, scheme) {
			break
		}
		c.Flaws |= Doubled
		token = strings.TrimLeft(rest, " \t")
	}
	return token
}

// judge tells the class and the flaws of a token.
func (c *Credential) judge(token string) {
	if token == "" {
		c.Flaws |= EmptyTok
	}
	// Digest, cookies and signatures have parameters with blanks between them.
	blank := c.Header == "cookie" || c.Scheme != "" && strings.ContainsAny(token, "=,")
	for i := 0; i < len(token); i++ {
		if b := token[i]; b > 0x7e || b <= 0x20 && !(blank && (b == ' ' || b == '\t')) {
			c.Flaws |= NonASCII
			break
		}
	}
	if templated(token) {
		c.Flaws |= Templated
	}
	c.Class = "opaque"
	if c.Header == "cookie" {
		return
	}
	switch strings.Count(token, ".") {
	case 2:
		if c.JWT = parseJWT(token); c.JWT != nil {
			c.Class = "jwt"
			return
		}
	case 4:
		if head, _, _ := strings.Cut(token, "."); gjson.ValidBytes(segment(head)) && strings.HasPrefix(token, "eyJ") {
			c.Class = "jwe"
			return
		}
	}
	if p := prefixOf(token); p != "" {
		c.Class = p
	}
}

// templated reports whether a token is a placeholder that nobody filled in.
func templated(t string) bool {
	switch {
	case strings.Contains(t, "${"), strings.Contains(t, "{{"), strings.Contains(t, "os.environ/"), strings.Contains(t, "%{"):
		return true
	case len(t) > 2 && t[0] == '<' && t[len(t)-1] == '>':
		return true
	case len(t) > 1 && t[0] == '$':
		return strings.Trim(t[1:], "ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789") == ""
	}
	return false
}

// maxJWT bounds the part of a token that is decoded; servers refuse larger
// heads long before.
const maxJWT = 16 << 10

// segment decodes one part of a JWT; nil: it is none.
func segment(s string) []byte {
	if len(s) > maxJWT {
		return nil
	}
	b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil || !jsonrpc.Valid(b) || len(bytes.TrimLeft(b, " \t\r\n")) == 0 || bytes.TrimLeft(b, " \t\r\n")[0] != '{' {
		return nil
	}
	return b
}

// parseJWT reads the claims of a token of three parts, unverified; nil: it is
// no JWT.
func parseJWT(token string) *JWT {
	parts := strings.SplitN(token, ".", 3)
	head, body := segment(parts[0]), segment(parts[1])
	if head == nil || body == nil {
		return nil
	}
	j := &JWT{Typ: clean(gjson.GetBytes(head, "typ").String(), 32)}
	gjson.ParseBytes(body).ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "exp":
			j.Exp = numericDate(v)
		case "nbf":
			j.Nbf = numericDate(v)
		case "iat":
			j.Iat = numericDate(v)
		case "iss":
			j.Iss = claim(v.String())
		case "aud":
			j.Aud = audience(v)
		case "scope", "scp":
			j.Scope = clean(words(v), 200)
		}
		return true
	})
	return j
}

// claim makes an issuer or audience printable: a URL keeps its origin and
// path.
func claim(s string) string {
	if strings.Contains(s, "://") {
		return cut(cleanURL(s), 200)
	}
	return clean(s, 200)
}

// audience reads aud, a string or an array (RFC 7519 section 4.1.3).
func audience(v gjson.Result) []string {
	var out []string
	add := func(v gjson.Result) bool {
		if v.Type == gjson.String && len(out) < 8 {
			out = append(out, claim(v.Str))
		}
		return true
	}
	if v.IsArray() {
		v.ForEach(func(_, e gjson.Result) bool { return add(e) })
	} else {
		add(v)
	}
	return out
}

// words joins an array of strings; a string stays itself.
func words(v gjson.Result) string {
	if !v.IsArray() {
		return v.String()
	}
	var out []string
	v.ForEach(func(_, e gjson.Result) bool {
		if e.Type == gjson.String {
			out = append(out, e.Str)
		}
		return len(out) < 32
	})
	return strings.Join(out, " ")
}

// numericDate reads seconds since 1970, fractions allowed (RFC 7519 section
// 2). Zero: it is none, or beyond the year 9999.
func numericDate(v gjson.Result) time.Time {
	f := v.Float()
	if v.Type == gjson.String || v.Type == gjson.Number {
		if !(f > 0 && f < 253402300800) {
			return time.Time{}
		}
		whole, frac := math.Modf(f)
		return time.Unix(int64(whole), int64(frac*1e9)).UTC()
	}
	return time.Time{}
}
