package report

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// script is what verify writes for a case with its finding.
func script(t testing.TB, objects ...Object) string {
	t.Helper()
	var buf bytes.Buffer
	w := newRequests(&buf, Options{})
	for _, o := range objects {
		if err := w.Write(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// failed is a case and its finding, of which everything that a capture may
// name is h.
func failed(h, why, kind, method, path string) (Object, Object) {
	c := &Case{Frame: 3, Client: h, Gateway: h, Authority: h, Kind: kind, HTTPMethod: method, Path: path, Servers: []string{h}, Upstream: []Attempt{{Server: h, URL: "http://" + h, Address: h, Cause: why}}}
	f := &Finding{Rule: "swallowed-401", Severity: "error", Cause: why, Servers: []string{h}, CaseFrame: 3, Text: h, Fix: h, Verify: h, Fingerprint: h,
		Evidence: []Evidence{{What: "client request", Flow: h + " > " + h, Excerpt: method + " " + path + "?" + h + " HTTP/1.1"}}}
	return Object{Case: c}, Object{Finding: f}
}

// skeleton is what a shell sees of a script beside the words: quotes,
// operators, expansions and white space.
func skeleton(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		if strings.HasPrefix(line, "#") {
			out.WriteString("#\n")
			continue
		}
		single, double := false, false
		for i, c := range line {
			switch {
			case c == '\'' && !double:
				single = !single
				out.WriteRune(c)
			case double && !strings.ContainsRune("\"$`\\", c):
			case !single && strings.ContainsRune("\"$`;&|<>()\\ \n!*{}", c):
				out.WriteRune(c)
				double = double != (c == '"')
				if c == '$' {
					out.WriteString(strings.FieldsFunc(line[i+1:]+".", func(r rune) bool { return r != '_' && r < 'A' || r > 'Z' && r != '_' })[0])
				}
			}
		}
	}
	return out.String()
}

var commands = []string{"'; touch pwned; '", "$(touch pwned)", "`touch pwned`", "\n touch pwned\n", "\"; touch pwned; \"", "x\r\ntouch pwned", "-o pwned", "a\\", "' -o pwned '", "[1-9999]", "{a,b}", "@pwned", "\x00\x1b]0;x\a", "$KEY"}

// Nothing that comes from a capture, or from a report that somebody else
// wrote, is obeyed by a shell.
func FuzzVerifyObeysNoCapture(f *testing.F) {
	for i, h := range commands {
		f.Add(h, byte(i))
	}
	causes := []string{"", "token-rejected", "static-credential", "malformed-credential", "token-not-yet-valid", "token-endpoint-failed", "redirect-dropped-header", "alias-mismatch"}
	routes := [][3]string{{"list", "POST", "/%/mcp"}, {"list", "GET", "/mcp-rest/tools/list/%"}, {"call", "POST", "/%/mcp"}, {"call", "POST", "/mcp-rest/tools/call/%"}, {"llm", "POST", "/v1/responses/%"}, {"llm", "POST", "/v1/chat/completions/%"}}
	f.Fuzz(func(t *testing.T, h string, pick byte) {
		if h == "" || strings.Contains(h, "…") {
			return
		}
		why, r := causes[int(pick)%len(causes)], routes[int(pick/8)%len(routes)]
		write := func(h string) string {
			c, f := failed(h, why, r[0], r[1], strings.ReplaceAll(r[2], "%", h))
			return script(t, c, f)
		}
		if got, want := skeleton(write(h)), skeleton(write("x")); got != want {
			t.Errorf("with %q a shell sees\n%s\nwith x\n%s", h, got, want)
		}
	})
}

// The same with a real shell, and a curl that only prints what it is given.
func TestVerifyRunsInAShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	for _, h := range append([]string{"good"}, commands...) {
		for _, kind := range []string{"list", "call", "llm"} {
			c, f := failed(h, "token-rejected", kind, "POST", "/"+h+"/mcp")
			cmd := exec.Command(sh, "-eu")
			cmd.Dir = t.TempDir()
			cmd.Env = []string{"KEY=k-1", "TOKEN=t-1", "MODEL=m", "TOOL=tool", "SERVER_ID=1"}
			cmd.Stdin = strings.NewReader("curl() { printf '<%s>' \"$@\"; echo; }\ntouch() { echo obeyed; }\n" + script(t, c, f))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%q: %v\n%s", h, err, out)
			}
			if strings.Contains(string(out), "obeyed") || strings.Count(string(out), "<-sig><http://") != 1 || strings.Contains(string(out), "><-o") || !strings.Contains(string(out), "<x-litellm-api-key: Bearer k-1>") {
				t.Errorf("%q: %s", h, out)
			}
			for _, arg := range strings.Split(string(out), "><") {
				if body, ok := strings.CutSuffix(arg, ">\n"); ok && strings.HasPrefix(body, "{") && !json.Valid([]byte(body)) {
					t.Errorf("%q: the body is no JSON: %s", h, body)
				}
			}
		}
	}
}

func TestVerify(t *testing.T) {
	c, f := failed("srv", "token-rejected", "list", "POST", "/mcp/")
	c.Case.Gateway, c.Case.Authority, c.Case.Scheme = "10.0.0.1:443", "", "https"
	want := `#!/bin/sh
# Asks again what failed. KEY goes to the gateway, TOKEN to it and to upstreams:
# read the addresses before you run it.
: "${KEY:?set it to a key of the gateway}"
: "${TOKEN:?set it to a token for the upstream that is asked}"

# srv  swallowed-401  token-rejected  srv
# was: POST /mcp/ -> no answer (frame 3)
# good when: 200, and the tools of srv are in the list
echo '== srv'
curl -sig 'https://10.0.0.1:443/mcp/?srv' -H "x-litellm-api-key: Bearer $KEY" -H "Authorization: Bearer $TOKEN" -H 'x-mcp-servers: srv' -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'
# on the gateway's host, srv itself:
curl -si 'http://srv' -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"curl","version":"1"}}}'
`
	if got := script(t, c, f, c, f); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	f.Finding.Severity = "note"
	if got := script(t, c, f); !strings.Contains(got, "# nothing to ask again") || strings.Contains(got, "curl") {
		t.Errorf("a note: %s", got)
	}
	f.Finding.Severity, c.Case.Upstream[0].URL = "error", "-o/etc/passwd"
	if got := script(t, c, f); strings.Contains(got, "passwd") {
		t.Errorf("an address that is an option: %s", got)
	}
	f.Finding.Evidence[0].Excerpt = "POST /mcp/?id=… HTTP/1.1"
	if got := script(t, c, f); !strings.Contains(got, "what was left out") {
		t.Errorf("a redacted address: %s", got)
	}
}

// A finding alone says where to ask.
func TestReadFindings(t *testing.T) {
	_, f := failed("srv", "token-rejected", "list", "POST", "/srv/mcp")
	f.Finding.Evidence = append(f.Finding.Evidence, Evidence{What: "upstream request", Flow: "a > 10.0.0.9:80", Excerpt: "POST /mcp HTTP/1.1"})
	bare, _ := json.Marshal(f.Finding)
	line, _ := json.Marshal(f)
	for _, in := range []string{string(bare), string(line)} {
		var got []Object
		err := ReadFindings(strings.NewReader(in), func(o Object) error { got = append(got, o); return nil })
		if err != nil || len(got) != 1 {
			t.Fatalf("%s: %v, %v", in, got, err)
		}
		s := script(t, got...)
		for _, want := range []string{"'http://srv/srv/mcp?srv'", "'http://10.0.0.9:80/mcp'", "# was: POST /srv/mcp"} {
			if !strings.Contains(s, want) {
				t.Errorf("no %s in\n%s", want, s)
			}
		}
	}
	for _, rule := range []string{"llm-without-tools", "call-401"} {
		f.Finding.Rule = rule
		if s := script(t, f); !strings.Contains(s, map[string]string{"call-401": "tools/call", "llm-without-tools": `"$MODEL"`}[rule]) {
			t.Errorf("%s: %s", rule, s)
		}
	}
	for _, in := range []string{"", "{", "[]", `{"x":1}`, "hello"} {
		if err := ReadFindings(strings.NewReader(in), func(Object) error { return nil }); err == nil {
			t.Errorf("%q is taken for a report", in)
		}
	}
}

func TestVerifyIsBounded(t *testing.T) {
	var all []Object
	for i := range blocksKept + 7 {
		c, f := failed("srv"+strings.Repeat("y", i), "", "list", "POST", "/mcp")
		all = append(all, c, f)
	}
	s := script(t, all...)
	if n := strings.Count(s, "\ncurl -sig "); n != blocksKept || !strings.Contains(s, "# and 7 findings more") {
		t.Errorf("%d blocks", n)
	}
}
