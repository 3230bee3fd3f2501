package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
)

// newHealthy is a gateway whose upstream has a tool, which it passes on.
func newHealthy(t *testing.T) *faulty {
	f := &faulty{}
	tools := func(w http.ResponseWriter, id json.RawMessage) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"jsonrpc":"2.0","id":`+string(id)+`,"result":{"tools":[{"name":"forecast","inputSchema":{"type":"object"}}]}}`)
	}
	asked := func(r *http.Request) (id json.RawMessage) {
		var m struct{ ID json.RawMessage }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		return m.ID
	}
	f.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { tools(w, asked(r)) }))
	t.Cleanup(f.upstream.Close)
	f.gateway = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := asked(r)
		a, err := http.Post(f.upstream.URL+"/mcp", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, a.Body)
		a.Body.Close()
		tools(w, id)
	}))
	t.Cleanup(f.gateway.Close)
	return f
}

// One curl, and neither the gateway is named nor anything else known: that is
// enough to tell a gateway that hides a refusal, by status and cause, from one
// that is well, whose status is curl's own.
func TestRunCurl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		cannot(t, "curl is not installed")
	}
	ownNamespace(t, runCurl) // other tests use the machine's loopback
}

func runCurl(t *testing.T) {
	place{}.run(t, "ip link set lo up")
	name, err := static()
	if err != nil {
		t.Fatal(err)
	}
	bad, good := newFaulty(t), newHealthy(t)
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for _, c := range []struct {
		name, url string
		status    int
		want      []string
	}{
		{"a hidden refusal", bad.gateway.URL + "/issues/mcp", 1, []string{`"tools":[]`, "swallowed-401", "issues", "token-rejected", "fix: ", "1 call: 1 swallowed-401"}},
		{"a good list", good.gateway.URL + "/issues/mcp", 0, []string{"forecast", "1 call: 1 listed"}},
		{"nobody listens", gone.URL, 7, []string{"no MCP traffic"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command(name, "run", "--no-color", "--", "curl", "-s", c.url, "-H", "Content-Type: application/json", "-H", "Authorization: Bearer stale-token",
				"-d", `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`)
			out, _ := cmd.CombinedOutput()
			if status := cmd.ProcessState.ExitCode(); status != c.status {
				t.Errorf("status %d, want %d", status, c.status)
			}
			for _, w := range c.want {
				if !strings.Contains(string(out), w) {
					t.Errorf("no %q in: %s", w, out)
				}
			}
		})
	}
}
