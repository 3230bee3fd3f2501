package cause

import (
	"embed"
	"fmt"
	"strings"
	"unicode"
)

// An Entry is what is said of one cause.
type Entry struct {
	ID     ID
	Title  string // one line, no period
	Fix    string // what to change, with the placeholders of Values
	Verify string // a shell command that shows whether it helped, with the same placeholders
	Doc    string // the page that explain prints
}

// A Failure is what is said of one way in which an upstream fails otherwise
// than by 401 or 403. Its ID is the text of a hop.Outcome.
type Failure struct {
	ID     string
	Title  string // one line, no period
	Fix    string // as in Entry
	Verify string // as in Entry
}

// Causes is every cause in the order in which they are tried: the first that
// fits is the cause.
//
// To add one, write its constant in cause.go, its entry here and its page
// docs/<id>.md.
var Causes = []Entry{
	{
		ID:    GatewayKeySent,
		Title: "The gateway's own key went to the upstream",
		Fix: "send the gateway key as `x-litellm-api-key: Bearer ...` and only the token for {server} as" +
			" `Authorization` or `x-mcp-{alias}-authorization`; replace the key, {server} has seen it",
		Verify: viaGateway,
		Doc:    page(GatewayKeySent),
	},
	{
		ID:    DoubledBearer,
		Title: "The upstream got \"Bearer Bearer ...\"",
		Fix: "store the bare token as auth_value of mcp_servers.{server}, or keep the prefix and set" +
			" `auth_type: authorization`; if the client sent it, take one `Bearer` out of {header}",
		Verify: viaGateway,
		Doc:    page(DoubledBearer),
	},
	{
		ID:    MalformedCredential,
		Title: "The credential has no proper form",
		Fix: "send exactly `Bearer <token>`: no quotes, no line break, no placeholder that nobody filled in;" +
			" look at {header} of the client and at auth_value of mcp_servers.{server}",
		Verify: `printf %s "$TOKEN" | LC_ALL=C grep -cE '^[A-Za-z0-9._~+/-]+=*$'`,
		Doc:    page(MalformedCredential),
	},
	{
		ID:    TokenExpired,
		Title: "The token had expired",
		Fix: "get a new token for {server}: the client signs in again, or the gateway's auth_value is" +
			" replaced; for a lasting cure let the gateway fetch it (`auth_type: oauth2`)",
		Verify: viaUpstream,
		Doc:    page(TokenExpired),
	},
	{
		ID:    TokenNotYetValid,
		Title: "The token is not valid yet",
		Fix: "set the clocks of the token's issuer and of {server} by NTP; until then issue tokens with" +
			" an earlier `nbf`",
		Verify: `curl -sI '{url}' | grep -i '^date:'; date -u`,
		Doc:    page(TokenNotYetValid),
	},
	{
		ID:    TokenAudience,
		Title: "The token was issued for another audience",
		Fix: "request the token for {url} (parameter `resource`, or the audience that {server} expects);" +
			" where the client's token is for the gateway, use `auth_type: oauth2_token_exchange` instead of passing it on",
		Verify: viaUpstream,
		Doc:    page(TokenAudience),
	},
	{
		ID:    InsufficientScope,
		Title: "The token lacks a scope",
		Fix: "request the scope that the challenge of {server} names; for a credential of the gateway" +
			" add it to `scopes` of mcp_servers.{server} or replace auth_value",
		Verify: viaUpstream,
		Doc:    page(InsufficientScope),
	},
	{
		ID:    StaticCredential,
		Title: "The credential that the gateway stores was refused",
		Fix: "replace auth_value of mcp_servers.{server} (expired, revoked or of another `auth_type` than" +
			" {server} wants) and restart the gateway",
		Verify: viaStored,
		Doc:    page(StaticCredential),
	},
	{
		ID:    TokenEndpointFailed,
		Title: "The gateway could not get a token",
		Fix: "correct client_id, client_secret, token_url, scopes or audience of mcp_servers.{server}: the" +
			" token endpoint refused the gateway before {server} was asked",
		Verify: `curl -s -w '\n%{http_code}\n' "$TOKEN_URL" -d grant_type=client_credentials` +
			` -d "client_id=$CLIENT_ID" --data-urlencode "client_secret=$CLIENT_SECRET"`,
		Doc: page(TokenEndpointFailed),
	},
	{
		ID:    RedirectDroppedHeader,
		Title: "A redirect to another origin lost the credential",
		Fix: "set the url of mcp_servers.{server} to where the redirect ends, so that the first request" +
			" goes there",
		Verify: `curl -s -o /dev/null -w '%{http_code} %{redirect_url}\n' '{url}'` + withToken + asMCP + askInitialize,
		Doc:    page(RedirectDroppedHeader),
	},
	{
		ID:    AliasMismatch,
		Title: "The credential was sent for another server name",
		Fix: "send it as `x-mcp-{alias}-authorization`, not `{header}`: the alias in lower case, the server" +
			" name only where no alias is set, no `-` in either",
		Verify: `curl -s 'http://{gateway}{path}'` + withKey + ` -H "x-mcp-{alias}-authorization: Bearer $TOKEN"` + asMCP + askList,
		Doc:    page(AliasMismatch),
	},
	{
		ID:    HeaderNotForwarded,
		Title: "The client sent a credential and the gateway did not pass it on",
		Fix: "add `extra_headers: [{header}]` to mcp_servers.{server} and list over an MCP route, or send" +
			" `x-mcp-{alias}-authorization: Bearer ...` from the client",
		Verify: viaGateway,
		Doc:    page(HeaderNotForwarded),
	},
	{
		ID:    TokenMissing,
		Title: "Nobody sent a credential",
		Fix: "send `x-mcp-{alias}-authorization: Bearer ...` from the client (or `Authorization` with" +
			" `extra_headers: [Authorization]`), or store one: auth_type and auth_value of mcp_servers.{server}",
		Verify: viaGateway,
		Doc:    page(TokenMissing),
	},
	{
		ID:    TokenRejected,
		Title: "The client's token arrived and was refused",
		Fix: "ask {server} itself with the same token: if it refuses it too, get a new one (revoked, or for" +
			" another tenant or environment)",
		Verify: viaUpstream,
		Doc:    page(TokenRejected),
	},
}

// Failures is every way in which an upstream fails otherwise than by 401 or
// 403.
//
// To add one, add its hop.Outcome and an entry here.
var Failures = []Failure{
	{"refused", "Nothing accepts connections there",
		"start {server}, or correct the url of mcp_servers.{server}: nothing listens at {url}, or a firewall rejects the gateway", connects},
	{"reset", "The connection broke before the answer",
		"look at the log of {server} and of the proxies before it at that time: one of them closed the connection", viaUpstream},
	{"timeout", "No answer in time",
		"make {url} answer within the gateway's limit (30 s for a list, `LITELLM_MCP_TOOL_LISTING_TIMEOUT`), or open the way to it", connects},
	{"5xx", "The upstream has a fault of its own",
		"repair {server}; its log says more than the gateway passes on", viaUpstream},
	{"4xx", "The upstream does not take the request",
		"correct url and transport of mcp_servers.{server}: 404 is a wrong path, 405 or 406 a wrong `transport`," +
			" 421 a Host that {server} does not allow, 429 a rate limit", viaUpstream},
	{"rpc-error", "The upstream answered with a JSON-RPC error",
		"read the error: where it speaks of authorization it is a 401 in disguise and {server} wants a credential", viaUpstream},
	{"login-page", "The upstream showed a sign-in page",
		"exempt {url} from browser sign-in, or give the gateway a credential that the sign-in proxy takes: this is a 401 in disguise", viaUpstream},
	{"tls", "The TLS handshake failed",
		"renew the certificate of {url}, or let the gateway trust its CA (`SSL_CERT_FILE` of the gateway process)", connects},
	{"dns", "The name could not be resolved",
		"correct the host in the url of mcp_servers.{server}, or the resolver of the gateway's host", connects},
	{"bad-answer", "The answer is not MCP",
		"correct url and transport (`http` or `sse`) of mcp_servers.{server}: something else answers at {url}", viaUpstream},
}

// The commands that verify. KEY is a key of the gateway, TOKEN a token for the
// upstream; both are variables of the shell, so that no secret is printed. What
// asks the upstream is meant for the gateway's host: {url} is as the gateway sees it.
const (
	withKey       = ` -H "x-litellm-api-key: Bearer $KEY"`
	withToken     = ` -H "Authorization: Bearer $TOKEN"`
	asMCP         = ` -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream'`
	askList       = ` -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'`
	askInitialize = ` -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18",` +
		`"capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}'`

	viaGateway  = `curl -s 'http://{gateway}{path}'` + withKey + withToken + asMCP + askList
	viaStored   = `curl -s 'http://{gateway}{path}'` + withKey + asMCP + askList
	viaUpstream = `curl -si '{url}'` + withToken + asMCP + askInitialize
	connects    = `curl -sv -o /dev/null -m 30 '{url}'`
)

// Lookup finds the entry of a cause.
func Lookup(id ID) (Entry, bool) {
	for _, e := range Causes {
		if e.ID == id {
			return e, true
		}
	}
	return Entry{}, false
}

// LookupFailure finds the entry of a failure by the text of its hop.Outcome.
func LookupFailure(id string) (Failure, bool) {
	for _, f := range Failures {
		if f.ID == id {
			return f, true
		}
	}
	return Failure{}, false
}

// Values fills the placeholders of a Fix or a Verify. They may come from a
// capture as they are: Expand lets nothing through that a shell or a terminal
// would obey. What is empty is named in capitals ("SERVER").
type Values struct {
	Server  string // {server}: the gateway's name for the upstream
	Alias   string // {alias}: what x-mcp-<alias>- headers call it; empty: Server
	URL     string // {url}: the upstream's
	Gateway string // {gateway}: host:port; or with its scheme where that is not http
	Path    string // {path}: of the downstream request; a route that takes no JSON-RPC is replaced by one of Server that does
	Header  string // {header}: the field the client sent the credential in; empty: Authorization
}

// Expand fills in the placeholders of the fix and of the verifying command.
func (e Entry) Expand(v Values) (fix, verify string) { return v.expand(e.Fix, e.Verify) }

// Expand fills in the placeholders of the fix and of the verifying command.
func (f Failure) Expand(v Values) (fix, verify string) { return v.expand(f.Fix, f.Verify) }

func (v Values) expand(fix, verify string) (string, string) {
	v = v.complete()
	if strings.Contains(v.Gateway, "://") {
		verify = strings.ReplaceAll(verify, "http://{gateway}", "{gateway}")
	}
	return v.fill(fix, printable), v.fill(verify, quotable)
}

// fill replaces the placeholders of a text, each value cleaned. No value is
// looked into for placeholders.
func (v Values) fill(text string, clean func(string) string) string {
	values := [...]struct{ name, value string }{
		{"{server}", v.Server}, {"{alias}", v.Alias}, {"{url}", v.URL}, {"{gateway}", v.Gateway}, {"{path}", v.Path}, {"{header}", v.Header},
	}
	var out strings.Builder
next:
	for {
		i := strings.IndexByte(text, '{')
		if i < 0 {
			out.WriteString(text)
			return out.String()
		}
		out.WriteString(text[:i])
		text = text[i:]
		for _, p := range values {
			if rest, ok := strings.CutPrefix(text, p.name); ok {
				out.WriteString(clean(p.value))
				text = rest
				continue next
			}
		}
		out.WriteByte('{')
		text = text[1:]
	}
}

// complete names what is not known.
func (v Values) complete() Values {
	if v.Path == "" || !takesRPC(v.Path) {
		v.Path = "/mcp/"
		if v.Server != "" {
			v.Path = "/" + v.Server + "/mcp"
		}
	}
	if v.Header == "" || strings.EqualFold(v.Header, "authorization") {
		v.Header = "Authorization"
	}
	if v.Alias == "" {
		v.Alias = v.Server
	}
	or := func(s *string, name string) {
		if *s == "" {
			*s = name
		}
	}
	or(&v.Server, "SERVER")
	or(&v.Alias, "ALIAS")
	or(&v.URL, "URL")
	or(&v.Gateway, "GATEWAY")
	return v
}

// takesRPC reports whether a downstream path takes a posted tools/list: the
// REST and LLM routes do not.
func takesRPC(path string) bool {
	for _, p := range []string{"/mcp-rest/", "/v1/", "/chat/", "/responses", "/messages"} {
		if strings.HasPrefix(path, p) {
			return false
		}
	}
	return true
}

// maxValue bounds a value in bytes: a path may be as long as a message head.
const maxValue = 1024

// printable makes s fit for a sentence: what cannot be seen, and what could
// end the code span that it stands in, becomes "?".
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == '`' || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, bounded(s))
}

// quotable makes s fit for a shell command, between quotes or not, as percent
// encoding does for a URL: names from a capture are not to be obeyed.
func quotable(s string) string {
	var b strings.Builder
	for _, c := range []byte(bounded(s)) {
		if c < 0x80 && (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || strings.IndexByte("-._~:/?#[]@&+,=%", c) >= 0) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func bounded(s string) string {
	if len(s) > maxValue {
		return s[:maxValue]
	}
	return s
}

//go:embed docs
var docs embed.FS

// page is the page of a cause.
func page(id ID) string {
	b, err := docs.ReadFile("docs/" + string(id) + ".md")
	if err != nil {
		panic("internal error: cause " + string(id) + " has no page")
	}
	return string(b)
}
