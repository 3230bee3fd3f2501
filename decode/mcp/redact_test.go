package mcp

import (
	"strings"
	"testing"
)

func TestRedactTarget(t *testing.T) {
	for _, c := range [][2]string{
		{"/mcp", "/mcp"},
		{"/mcp/", "/mcp/"},
		{"*", "*"},
		{"", ""},
		{"/a,b/mcp", "/a,b/mcp"},
		{"/github-mcp_server.v2/mcp", "/github-mcp_server.v2/mcp"},
		{"/mcp-rest/tools/list?server_id=0123456789abcdef0123456789abcdef", "/mcp-rest/tools/list?server_id=0123456789abcdef0123456789abcdef"},
		{"/mcp-rest/tools/list?server_id=sk-abcdef123456", "/mcp-rest/tools/list?server_id=[redacted]"},
		{"/x?mcp_server_name=a&toolset_name=b&tags=healthy&include_disabled_tools=true", "/x?mcp_server_name=a&toolset_name=b&tags=healthy&include_disabled_tools=true"},
		{"/x?api_key=s3cret&flag", "/x?api_key=…&flag"},
		{"/x?thisisnotanamebutabareverylongthingthatmaybesecret", "/x?[redacted]"},
		{"/x?tags=eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.x", "/x?tags=[redacted]"},
		{"/messages/?session_id=5b2c0f3a9d8e4f7b8a1c2d3e4f5a6b7c", "/messages/?session_id=…"},
		{"http://user:pass@gw:4000/mcp?k=v", "http://gw:4000/mcp?k=v"},
		{"/x?q=a+b%20c&page=2&access_token=abc&id=5b2c0f3a9d8e4f7b8a1c2d3e4f5a6b7c&m=u@h", "/x?q=a+b%20c&page=2&access_token=…&id=…&m=…"},
		{"/x?a=1&5b2c0f3a9d8e4f7b8a1c2d3e4f5a6b7c=1&sk-live-abc123=1", "/x?a=1&[redacted]=…&[redacted]=…"},
		{"/x?%73k-live-abc123=1", "/x?[redacted]=…"},
		{"https://gw", "https://gw"},
		{"http://u:pass/word@gw:1/mcp", "http://gw:1/mcp"},
		{"http://gw:1/@org/name/mcp", "http://gw:1/@org/name/mcp"},
		{"http://[::1]:1/@org", "http://[::1]:1/@org"},
		{"user:pass@host:443", "host:443"},
		{"host:443", "host:443"},
		{"/s/5b2c0f3a9d8e4f7b8a1c2d3e4f5a6b7c/mcp", "/s/[redacted]/mcp"},
		{"/s/0b0e9d0a-6c3f-4b5e-9a55-2a8f7c1d2e3f", "/s/[redacted]"},
		{"/api/mcp/s/OWE3ZDhmNjYtY2Y0Yi00/mcp", "/api/mcp/s/[redacted]/mcp"},
		{"/k/eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln/x", "/k/[redacted]/x"},
		{"/k/sk-live-abc123", "/k/[redacted]"},
		{"/k/%73k-live-abc123", "/k/[redacted]"},
		{"/a%2Fb", "/a%2Fb"},
		{"/a#frag?x", "/a"},
		{"/a?#x", "/a"},
		{"/mcp?url=http%3A%2F%2Fu%3Ap%40h%3A1%2Fmcp%3Fk%3Dv&transportType=sse", "/mcp?url=http://h:1/mcp&transportType=sse"},
		{"/a\x1b[31m", "/a [31m"},
	} {
		if got := Redact(c[0]); got != c[1] {
			t.Errorf("%q:\n got %q\nwant %q", c[0], got, c[1])
		}
	}
}

func TestCleanKeepsProse(t *testing.T) {
	for _, s := range []string{
		"Successfully retrieved tools",
		"Client error '401 Unauthorized' for url 'http://127.0.0.1:9101/mcp'",
		"MCP server, toolset, or access group 'passthru' not found",
		"Authentication Error, Malformed API Key passed in. Ensure Key has `Bearer ` prefix.",
		"The access token expired",
		"token has expired",
		"Error: upstream authentication required (HTTP 401)",
		"Failed to get tools from servers: passthru: auth_required; other: timeout",
		"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
		"python-httpx/0.28.1", "litellm/1.94.3", "1MCP/0.35.0", "litellm-mcp-server",
		"application/json, text/event-stream",
		"get_user_profile_information_v2", "getUserProfileInformationV2", "github-create_pull_request_review_2",
		"healthy_1mcp_echo", "notifications/subscriptions/acknowledged", "urn:ietf:params:oauth:grant-type:token-exchange",
		"internalServerErrorWhileListing", "anthropic/claude-sonnet-4-5-20250929", "gpt-4o-mini-2024-07-18",
		"Session terminated", "Missing session ID", "resource_metadata", "net::ERR_NAME_NOT_RESOLVED",
		"mcp:read mcp:write offline_access https://graph.microsoft.com/.default",
		"", "ok", "…",
	} {
		if got := clean(s, 1000); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
}

func TestCleanHidesSecrets(t *testing.T) {
	for _, c := range [][2]string{
		{"Bearer abcdef", "Bearer [redacted]"},
		{"bearer: hunter2", "bearer: [redacted]"},
		{"Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [redacted]"},
		{"password: hunter2", "password: [redacted]"},
		{"password = hunter2 and more", "password = [redacted] and more"},
		{`{"password": "hunter2"}`, `{"password": "[redacted]"}`},
		{"api_key=hunter2", "api_key=[redacted]"},
		{"Received API Key = sk-1234, Key Hash (Token) =88dc28d0f030c55ed4ab77ed8faf0981", "Received API Key = [redacted], Key Hash (Token) [redacted]"},
		{"mail to joe.doe@example.com now", "mail to [redacted] now"},
		{"see https://u:p@h/x?code=1#f", "see https://h/x"},
		{"got eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln.", "got [redacted]"},
		{"gho_16C7e42F292c6912E7710c838347Ae178B4a", "[redacted]"},
		{"key sk-1234", "key [redacted]"},
		{"5b2c0f3a9d8e4f7b8a1c2d3e4f5a6b7c", "[redacted]"},
		{"hash 88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b", "hash [redacted]"},
		{"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "[redacted]"},
		{"token 'abc'", "token 'abc'"}, // prose: nothing says that a value follows
		{"a\nb\x00c", "a b c"},
		{"caf\xe9", "caf�"},
	} {
		if got := clean(c[0], 1000); got != c[1] {
			t.Errorf("%q:\n got %q\nwant %q", c[0], got, c[1])
		}
	}
}

func TestCleanIsBounded(t *testing.T) {
	if got := clean(strings.Repeat("é", 300), 201); len(got) != 200 {
		t.Errorf("cut to %d bytes", len(got))
	}
	if got := clean(strings.Repeat("a ", 1<<20), 50); len(got) != 50 {
		t.Errorf("cut to %d bytes", len(got))
	}
	if got := Redact("/" + strings.Repeat("a/", 1<<20)); len(got) > 2048 {
		t.Errorf("a path of %d bytes", len(got))
	}
}

func TestChallenges(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []Challenge
	}{
		{`Bearer`, []Challenge{{Scheme: "Bearer"}}},
		{`Bearer error="invalid_token", error_description="Authentication required"`, []Challenge{{Scheme: "Bearer", Error: "invalid_token", ErrorDescription: "Authentication required"}}},
		{`Bearer realm="a \"b\", c", scope="x y", error_uri="http://e", foo=bar`, []Challenge{{Scheme: "Bearer", Realm: `a "b", c`, Scope: "x y", Other: []string{"error_uri", "foo"}}}},
		{`Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple"`, []Challenge{{Scheme: "Newauth", Realm: "apps", Other: []string{"type", "title"}}, {Scheme: "Basic", Realm: "simple"}}},
		{`Negotiate oYG2==, Basic realm=x`, []Challenge{{Scheme: "Negotiate"}, {Scheme: "Basic", Realm: "x"}}},
		{`Negotiate, NTLM`, []Challenge{{Scheme: "Negotiate"}, {Scheme: "NTLM"}}},
		{`Negotiate abc=`, []Challenge{{Scheme: "Negotiate"}}},
		{`Bearer authorization_uri=http://gw:4000/.well-known/x`, []Challenge{{Scheme: "Bearer", Other: []string{"authorization_uri"}}}},
		{`Bearer resource_metadata=http://gw:4000/.well-known/oauth-protected-resource?x=1`, []Challenge{{Scheme: "Bearer", ResourceMetadata: "http://gw:4000/.well-known/oauth-protected-resource"}}},
		{"bearer realm = \"x\" ,\t error\t=\"invalid_token\"", []Challenge{{Scheme: "bearer", Realm: "x", Error: "invalid_token"}}},
		{`Bearer realm="x" error="y"`, []Challenge{{Scheme: "Bearer", Realm: "x", Error: "y"}}},
		{`Bearer error="never ends`, []Challenge{{Scheme: "Bearer", Error: "never ends"}}},
		{`Bearer error="a\`, []Challenge{{Scheme: "Bearer", Error: "a"}}},
		{`Bearer error=one, error=two`, []Challenge{{Scheme: "Bearer", Error: "one"}}},
		{`realm="x"`, []Challenge{{Realm: "x"}}},
		{`, ,`, nil},
		{``, nil},
		{`"()`, nil},
		{`Bearer error_description="The token eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln is bad"`, []Challenge{{Scheme: "Bearer", ErrorDescription: "The token [redacted] is bad"}}},
	} {
		got := parseChallenges(nil, c.in)
		if !equalChallenges(got, c.want) {
			t.Errorf("%s\n got %+v\nwant %+v", c.in, got, c.want)
		}
	}
	if n := len(parseChallenges(nil, strings.Repeat("Basic realm=x,", 1000))); n != maxChallenges {
		t.Errorf("%d challenges are kept", n)
	}
}

func equalChallenges(a, b []Challenge) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		x, y := a[i], b[i]
		if strings.Join(x.Other, ",") != strings.Join(y.Other, ",") {
			return false
		}
		x.Other, y.Other = nil, nil
		if x.Scheme != y.Scheme || x.Realm != y.Realm || x.Error != y.Error || x.ErrorDescription != y.ErrorDescription ||
			x.ResourceMetadata != y.ResourceMetadata || x.Scope != y.Scope {
			return false
		}
	}
	return true
}

func FuzzChallengeNeverPanics(f *testing.F) {
	f.Add(`Bearer error="invalid_token", x=, Negotiate abc==, "`)
	f.Add("Bearer realm=\xff\x00")
	f.Fuzz(func(t *testing.T, in string) {
		got := parseChallenges(nil, in)
		if len(got) > maxChallenges {
			t.Fatalf("%d challenges", len(got))
		}
		for _, c := range got {
			if len(c.Other) > maxOther || len(c.Scheme) > 32 || len(c.ErrorDescription) > 200 {
				t.Fatalf("beyond a bound: %+v", c)
			}
		}
	})
}

func FuzzExchangeKeepsNoUserinfoAndNoQueryValue(f *testing.F) {
	f.Add("/mcp", "k", "planted-Secret-42")
	f.Add("/mcp", "access_token", "planted-Secret-42")
	f.Fuzz(func(t *testing.T, path, name, value string) {
		if len(value) < 8 || strings.Contains(path+name, value) || strings.ContainsAny(value, "/?#@&%+=: ") || queryKept[name] || name == "url" ||
			strings.ContainsAny(name, "?#&=%") || name == "" || strings.ContainsAny(path, "#") {
			return
		}
		for _, target := range []string{path + "?" + name + "=" + value, "http://u:" + value + "@h/"} {
			if got := parseTarget(target); strings.Contains(got.origin+"\n"+got.path+"\n"+got.query, value) {
				t.Fatalf("%q gave %+v", target, got)
			}
			if got := Redact(target); strings.Contains(got, value) && (name == "access_token" || !strings.Contains(target, "?")) {
				t.Fatalf("%q gave %q", target, got)
			}
		}
	})
}
