package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"mcp401/capture"
)

func TestOnWireRefuses(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "bpf")
	if err := os.WriteFile(bad, []byte("no program\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		w    wire
		want string
	}{
		{wire{filter: "port", program: bad}, "a filter and --bpf-file"},
		{wire{filter: "port or"}, "port"},
		{wire{program: bad}, "--bpf-file"},
		{wire{program: bad + "x"}, "no such file"},
		{wire{interfaces: []string{"no-such-interface"}}, "no-such-interface"},
	} {
		s, err := onWire(c.w)
		if err == nil || s != nil || !strings.Contains(err.Error(), c.want) && !errors.Is(err, syscall.EPERM) {
			t.Errorf("%+v: %v, want %q", c.w, err, c.want)
		}
	}
}

// TestRunOnLoopback captures real packets of a gateway that hides a 401, while
// a command asks it for its tools.
func TestRunOnLoopback(t *testing.T) {
	if s, err := capture.OpenLive(capture.Live{Interfaces: []string{"lo"}}); err != nil {
		t.Skipf("no packets can be captured here: %v", err)
	} else {
		s.Close()
	}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer upstream.Close()
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, _ := http.NewRequest("POST", upstream.URL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`))
		ask.Header.Set("Content-Type", "application/json")
		ask.Header.Set("Authorization", r.Header.Get("Authorization"))
		if a, err := http.DefaultClient.Do(ask); err == nil {
			io.Copy(io.Discard, a.Body)
			a.Body.Close()
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`)
	}))
	defer gateway.Close()
	port := func(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://127.0.0.1:") }

	// The command is this test, told to be a client.
	t.Setenv("MCP401_CLIENT_OF", gateway.URL)
	var out, errs bytes.Buffer
	status := Main([]string{"run", "-i", "lo", "--gateway", net.JoinHostPort("127.0.0.1", port(gateway)), "--format", "json",
		"--", os.Args[0], "-test.run", "^TestClient$"}, strings.NewReader(""), &out, &errs)
	var doc struct {
		Cases []struct{ Path, Verdict, Cause string } `json:"cases"`
	}
	if i := strings.IndexByte(out.String(), '{'); i < 0 || json.NewDecoder(strings.NewReader(out.String()[i:])).Decode(&doc) != nil {
		t.Fatalf("status %d, no report in %q, %q", status, out.String(), errs.String())
	}
	found := false
	for _, c := range doc.Cases {
		found = found || c.Path == "/issues/mcp" && c.Verdict == "swallowed-401" && c.Cause == "token-rejected"
	}
	if status != 1 || !found {
		t.Errorf("status %d, %+v, %s", status, doc.Cases, errs.String())
	}
}

// TestClient is the command of TestRunOnLoopback, and nothing by itself.
func TestClient(t *testing.T) {
	gateway := os.Getenv("MCP401_CLIENT_OF")
	if gateway == "" {
		return
	}
	ask, _ := http.NewRequest("POST", gateway+"/issues/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`))
	ask.Header.Set("Content-Type", "application/json")
	ask.Header.Set("x-litellm-api-key", "Bearer sk-lab")
	ask.Header.Set("Authorization", "Bearer stale-token")
	a, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, a.Body)
	a.Body.Close()
}
