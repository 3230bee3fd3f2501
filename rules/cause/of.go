package cause

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"mcp401/decode/mcp"
	"mcp401/rules/hop"
)

// skew is how far the clocks of an issuer, an upstream and the capture may
// differ before a claim is said to be in the future.
const skew = time.Minute

// A test is one row of the credential table: whether a cause fits.
type test struct {
	id   ID
	fits func(*refusal) bool
}

// A refusal is what the tests look at.
type refusal struct {
	c *hop.Case
	a *hop.Attempt
	u *mcp.Credential // what the upstream got; nil: nothing

	client []mcp.Credential // what the client sent that may be meant for an upstream
	said   string           // lower case: the challenge's error and description
}

// tests is the credential table, in the order in which it is tried. To add
// one, write its constant in cause.go, its texts in texts.go, and its row here.
var tests = []test{
	{GatewayKeySent, (*refusal).gatewayKey},
	{DoubledBearer, func(r *refusal) bool { return r.u != nil && r.u.Flaws&mcp.Doubled != 0 }},
	{MalformedCredential, func(r *refusal) bool {
		return r.u != nil && r.u.Flaws&(mcp.NoScheme|mcp.EmptyTok|mcp.NonASCII|mcp.Quoted|mcp.Templated) != 0
	}},
	{TokenExpired, (*refusal).expired},
	{TokenNotYetValid, (*refusal).early},
	{TokenAudience, (*refusal).audience},
	{InsufficientScope, func(r *refusal) bool {
		return r.a.Challenge != nil && r.a.Challenge.Error == "insufficient_scope"
	}},
	{StaticCredential, func(r *refusal) bool { return r.u != nil && !r.fromClient() && !r.c.NoAuth }},
	{TokenEndpointFailed, func(r *refusal) bool { return r.a.Token != nil }},
	{RedirectDroppedHeader, func(r *refusal) bool {
		p := r.a.Redirect
		return r.u == nil && p != nil && credential(p.Asked) != nil && p.Asked.Authority != r.a.Decisive.Asked.Authority
	}},
	{AliasMismatch, (*refusal).wrongAlias},
	{HeaderNotForwarded, func(r *refusal) bool {
		return r.u == nil && slices.ContainsFunc(r.client, func(k mcp.Credential) bool { return !r.elsewhere(k) })
	}},
	{TokenMissing, func(r *refusal) bool { return r.u == nil && !r.c.NoAuth }},
	{TokenRejected, func(r *refusal) bool { return r.u != nil }},
}

// Of says why an upstream refused an attempt: the first cause that fits, or
// None where the attempt was not refused or the capture does not tell.
func Of(c *hop.Case, a *hop.Attempt) ID {
	if a.Token != nil && a.Outcome.Failed() {
		return TokenEndpointFailed
	}
	if !a.Outcome.Auth() || a.Decisive == nil {
		return None
	}
	r := &refusal{c: c, a: a, u: credential(a.Decisive.Asked)}
	ask := c.Call.Asked
	for _, k := range ask.Creds {
		switch {
		case k.Header == "x-litellm-api-key", k.Header == "cookie", k.Header == "proxy-authorization":
		case c.GatewayKeys[k.Hash]:
		default:
			r.client = append(r.client, k)
		}
	}
	if ch := a.Challenge; ch != nil {
		r.said = strings.ToLower(ch.Error + " " + ch.ErrorDescription)
	}
	for _, t := range tests {
		if t.fits(r) {
			return t.id
		}
	}
	return None
}

// credential is what a request authorises itself with.
func credential(x *mcp.Exchange) *mcp.Credential {
	for i := range x.Creds {
		if x.Creds[i].Header == "authorization" {
			return &x.Creds[i]
		}
	}
	for i := range x.Creds {
		if h := x.Creds[i].Header; h != "cookie" && h != "proxy-authorization" {
			return &x.Creds[i]
		}
	}
	return nil
}

// fromClient reports whether the upstream's credential is one that the client
// sent.
func (r *refusal) fromClient() bool {
	for i := range r.client {
		if r.client[i].Hash == r.u.Hash || r.client[i].Whole == r.u.Whole {
			return true
		}
	}
	return false
}

// gatewayKey reports whether the upstream got a key of the gateway: one that is
// known as such, or one that looks like it and is all that the client sent.
func (r *refusal) gatewayKey() bool {
	if r.u == nil {
		return false
	}
	return r.c.GatewayKeys[r.u.Hash] || r.u.Class == "sk-" && len(r.c.GatewayKeys) == 0 && len(r.client) == 1 && r.client[0].Header == "authorization" && r.fromClient()
}

func (r *refusal) expired() bool {
	if r.u == nil {
		return false
	}
	if j := r.u.JWT; j != nil && !j.Exp.IsZero() && j.Exp.Before(r.a.First.Time) {
		return true
	}
	return strings.Contains(r.said, "expired")
}

func (r *refusal) early() bool {
	if r.u == nil {
		return false
	}
	now := r.a.First.Time.Add(skew)
	if j := r.u.JWT; j != nil && (j.Nbf.After(now) || j.Iat.After(now)) {
		return true
	}
	return strings.Contains(r.said, "not yet valid") || strings.Contains(r.said, "not active yet") || strings.Contains(r.said, "nbf")
}

func (r *refusal) audience() bool {
	if r.u == nil {
		return false
	}
	for _, w := range []string{"audience", "issuer"} {
		if strings.Contains(r.said, w) {
			return true
		}
	}
	j := r.u.JWT
	if j == nil || len(j.Aud) == 0 {
		return false
	}
	for _, aud := range j.Aud {
		if r.names(aud) {
			return false
		}
	}
	return true
}

// names reports whether an audience names the upstream: its URL, its origin,
// its host, or the resource that its challenge points to.
func (r *refusal) names(aud string) bool {
	x := r.a.Decisive.Asked
	aud = strings.TrimSuffix(aud, "/")
	if aud == "" {
		return false
	}
	url := x.Scheme + "://" + x.Authority + strings.TrimSuffix(x.Path, "/")
	host := x.Authority
	if ap, err := netip.ParseAddrPort(host); err == nil {
		host = ap.Addr().String()
	} else if i := strings.LastIndexByte(host, ':'); i > 0 {
		host = host[:i]
	}
	if aud == host || aud == x.Authority {
		return true
	}
	_, audRest, ok := strings.Cut(aud, "://")
	if !ok {
		return false
	}
	_, rest, _ := strings.Cut(url, "://")
	return rest == audRest || strings.HasPrefix(rest, audRest+"/")
}

// wrongAlias reports whether the client named the upstream wrongly: it sent a
// credential for a name that this server does not have, and none for a name
// that it has.
func (r *refusal) wrongAlias() bool {
	if r.u != nil || r.a.Server == "" {
		return false
	}
	wrong := false
	for _, k := range r.client {
		alias, ok := aliasOf(k)
		switch {
		case !ok || r.elsewhere(k):
		case sameName(alias, r.a.Server):
			return false
		default:
			wrong = true
		}
	}
	return wrong
}

// elsewhere reports whether a credential is for another server that the same
// call may reach.
func (r *refusal) elsewhere(k mcp.Credential) bool {
	alias, ok := aliasOf(k)
	if !ok || r.a.Server == "" || sameName(alias, r.a.Server) {
		return false
	}
	others := r.c.Servers
	if len(others) == 0 {
		others = r.c.Names
	}
	return len(r.c.Servers) != 1 && slices.ContainsFunc(others, func(s string) bool { return sameName(alias, s) })
}

// aliasOf is the name in x-mcp-<name>-<field>; x-mcp-auth names no server.
func aliasOf(k mcp.Credential) (string, bool) {
	rest, ok := strings.CutPrefix(k.Header, "x-mcp-")
	if !ok {
		return "", false
	}
	alias, _, ok := strings.Cut(rest, "-")
	return alias, ok
}

// sameName reports whether a header field is for that server as a gateway
// reads it. Case counts: LiteLLM looks an alias up in lower case, so that one
// with an upper-case letter is never found.
func sameName(alias, server string) bool {
	return alias == strings.ReplaceAll(server, "-", "_") || alias == server
}
