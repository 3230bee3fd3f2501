package cause

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcp401/rules/hop"
)

// ids is every cause in the order of precedence, written down a second time.
var ids = []ID{
	GatewayKeySent, DoubledBearer, MalformedCredential, TokenExpired, TokenNotYetValid, TokenAudience,
	InsufficientScope, StaticCredential, TokenEndpointFailed, RedirectDroppedHeader, AliasMismatch,
	HeaderNotForwarded, TokenMissing, TokenRejected,
}

func TestCausesStandInOrderOfPrecedence(t *testing.T) {
	var got []ID
	for _, e := range Causes {
		got = append(got, e.ID)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("Causes: %v\nwant    %v", got, ids)
	}
}

// TestEveryConstantHasAnEntry reads cause.go, so that a constant without an
// entry fails even where nobody wrote it down here.
func TestEveryConstantHasAnEntry(t *testing.T) {
	src, err := os.ReadFile("cause.go")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^\t\w+ +ID = "([^"]*)"`).FindAllSubmatch(src, -1)
	if len(found) != len(ids)+1 {
		t.Errorf("cause.go has %d constants, want %d and None", len(found), len(ids))
	}
	for _, m := range found {
		id := ID(m[1])
		if _, ok := Lookup(id); ok != (id != None) {
			t.Errorf("Lookup(%q) = %v", id, ok)
		}
	}
}

func TestLookup(t *testing.T) {
	e, ok := Lookup(TokenExpired)
	if !ok || e.ID != TokenExpired || e.Title != "The token had expired" {
		t.Errorf("Lookup(token-expired) = %q %q, %v", e.ID, e.Title, ok)
	}
	if e, ok := Lookup("token-lost"); ok {
		t.Errorf("Lookup of an unknown cause = %q", e.ID)
	}
	if f, ok := LookupFailure("dns"); !ok || f.ID != "dns" {
		t.Errorf("LookupFailure(dns) = %q, %v", f.ID, ok)
	}
	if f, ok := LookupFailure("401"); ok {
		t.Errorf("LookupFailure(401) = %q: 401 has causes, not failures", f.ID)
	}
}

// TestEveryFailureIsAnOutcome holds the table to hop's words: each failed
// outcome that is no 401 or 403, and nothing else.
func TestEveryFailureIsAnOutcome(t *testing.T) {
	want := []hop.Outcome{hop.Refused, hop.ResetOut, hop.Timeout, hop.Server5xx, hop.Client4xx, hop.RPCError,
		hop.LoginPage, hop.TLSError, hop.DNSError, hop.BadAnswer}
	var got []hop.Outcome
	for _, f := range Failures {
		o := hop.Outcome(f.ID)
		if !o.Failed() || o.Auth() {
			t.Errorf("%q is no failure of a hop.Outcome", f.ID)
		}
		got = append(got, o)
	}
	if !slices.Equal(got, want) {
		t.Errorf("Failures: %v\nwant      %v", got, want)
	}
}

func TestPagesHaveAllSections(t *testing.T) {
	sections := []string{"## Seen on the wire", "## Likeliest reason", "## Fix", "## Verify"}
	files, err := os.ReadDir("docs")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(Causes) {
		t.Errorf("docs has %d pages for %d causes", len(files), len(Causes))
	}
	for _, e := range Causes {
		lines := strings.Split(strings.TrimSuffix(e.Doc, "\n"), "\n")
		if want := "# " + string(e.ID) + ": " + e.Title; lines[0] != want {
			t.Errorf("%s begins %q, want %q", e.ID, lines[0], want)
		}
		var got []string
		for i, l := range lines {
			if len([]rune(l)) > 100 {
				t.Errorf("%s line %d is over 100 columns", e.ID, i+1)
			}
			if l != strings.TrimRight(l, " \t") || strings.Contains(l, "\t") {
				t.Errorf("%s line %d has a tab or a blank at its end", e.ID, i+1)
			}
			if strings.HasPrefix(l, "## ") {
				got = append(got, l)
			}
		}
		if !slices.Equal(got, sections) {
			t.Errorf("%s has the sections %q", e.ID, got)
		}
		if n := len(lines); n < 12 || n > 32 {
			t.Errorf("%s has %d lines", e.ID, n)
		}
	}
}

func TestTitlesAreOneLineWithoutPeriod(t *testing.T) {
	check := func(id, title, fix, verify string) {
		t.Helper()
		if title == "" || strings.ContainsAny(title, "\n`") || strings.HasSuffix(title, ".") {
			t.Errorf("%s: title %q", id, title)
		}
		if fix == "" || strings.Contains(fix, "\n") || strings.HasSuffix(fix, ".") {
			t.Errorf("%s: fix %q", id, fix)
		}
		if verify == "" || strings.Contains(verify, "\n") {
			t.Errorf("%s: verify %q", id, verify)
		}
	}
	for _, e := range Causes {
		check(string(e.ID), e.Title, e.Fix, e.Verify)
	}
	for _, f := range Failures {
		check(f.ID, f.Title, f.Fix, f.Verify)
	}
}

var placeholder = regexp.MustCompile(`\{[a-z]+\}`)

func TestAllPlaceholdersExpand(t *testing.T) {
	full := Values{Server: "issues", Alias: "iss", URL: "https://issues.example/mcp", Gateway: "10.0.0.5:4000", Path: "/issues/mcp", Header: "x-api-key"}
	for _, v := range []Values{full, {}} {
		try := func(id string, fix, verify string) {
			for _, s := range []string{fix, verify} {
				if m := placeholder.FindString(s); m != "" {
					t.Errorf("%s: %s is left in %q", id, m, s)
				}
			}
		}
		for _, e := range Causes {
			fix, verify := e.Expand(v)
			try(string(e.ID), fix, verify)
		}
		for _, f := range Failures {
			fix, verify := f.Expand(v)
			try(f.ID, fix, verify)
		}
	}
}

func TestExpand(t *testing.T) {
	e, _ := Lookup(HeaderNotForwarded)
	fix, verify := e.Expand(Values{Server: "issues", Gateway: "10.0.0.5:4000", Path: "/issues/mcp", Header: "authorization"})
	if want := "add `extra_headers: [Authorization]` to mcp_servers.issues and list over an MCP route, or send `x-mcp-issues-authorization: Bearer ...` from the client"; fix != want {
		t.Errorf("fix    %s\nwant   %s", fix, want)
	}
	if want := `curl -s 'http://10.0.0.5:4000/issues/mcp' -H "x-litellm-api-key: Bearer $KEY" -H "Authorization: Bearer $TOKEN"` +
		` -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream'` +
		` -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'`; verify != want {
		t.Errorf("verify %s\nwant   %s", verify, want)
	}
}

func TestExpandNamesTheRouteThatTakesIt(t *testing.T) {
	for _, c := range []struct {
		v    Values
		want string
	}{
		{Values{Gateway: "gw:4000", Path: "/mcp/"}, "'http://gw:4000/mcp/'"},
		{Values{Gateway: "gw:4000", Path: "/mcp-rest/tools/list", Server: "issues"}, "'http://gw:4000/issues/mcp'"},
		{Values{Gateway: "gw:4000", Path: "/v1/responses"}, "'http://gw:4000/mcp/'"},
		{Values{Gateway: "gw:4000"}, "'http://gw:4000/mcp/'"},
		{Values{Gateway: "https://gw", Path: "/issues/mcp"}, "'https://gw/issues/mcp'"},
		{Values{Path: "/issues/mcp"}, "'http://GATEWAY/issues/mcp'"},
		{Values{Gateway: "[::1]:4000", Path: "/mcp/a,b"}, "'http://[::1]:4000/mcp/a,b'"},
	} {
		e, _ := Lookup(TokenMissing)
		if _, verify := e.Expand(c.v); !strings.Contains(verify, c.want) {
			t.Errorf("%+v: %s lacks %s", c.v, verify, c.want)
		}
	}
}

// TestExpandObeysNothing puts names that a hostile capture could hold into
// every text: a person will paste the command into a shell.
func TestExpandObeysNothing(t *testing.T) {
	for _, bad := range []string{
		`a'; rm -rf ~; '`, `"$(id)"`, "`id`", "a\nid\n", "a\x1b[2Jb", "a\u202eb", "\xff\xfe", `\$x!{b,c}|<>`, strings.Repeat("x", 1<<16),
	} {
		v := Values{Server: bad, Alias: bad, URL: bad, Gateway: bad, Path: "/" + bad, Header: bad}
		for _, e := range Causes {
			fix, verify := e.Expand(v)
			if strings.ContainsAny(fix, "\n\x1b\u202e") || strings.Count(fix, "`")%2 != 0 {
				t.Errorf("%s: %q shows in %q", e.ID, bad, fix)
			}
			plain := e.Verify
			for _, p := range []string{"{server}", "{alias}", "{url}", "{gateway}", "{path}", "{header}"} {
				plain = strings.ReplaceAll(plain, p, "")
			}
			const obeyed = "'\"`$\\!;|<>\n\x1b(){}* "
			for _, r := range obeyed {
				if strings.Count(verify, string(r)) != strings.Count(plain, string(r)) {
					t.Errorf("%s: %q brings %q into %s", e.ID, bad, r, verify)
				}
			}
			if len(verify) > len(plain)+8*3*maxValue {
				t.Errorf("%s: the command has %d bytes", e.ID, len(verify))
			}
		}
	}
}
