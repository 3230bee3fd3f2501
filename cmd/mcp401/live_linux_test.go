package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// static builds the program as it is given out, without cgo.
var static = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mcp401-")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "mcp401")
	cmd := exec.Command("go", "build", "-o", name, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return name, os.Chmod(dir, 0o755)
})

// A captor is the program while it runs.
type captor struct {
	t        *testing.T
	cmd      *exec.Cmd
	out, err lockedBuffer
}

// A lockedBuffer is written by a process and read meanwhile.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// begin starts the program, as root, and waits until it captures.
func begin(t *testing.T, env []string, args ...string) *captor {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("packet sockets need root")
	}
	name, err := static()
	if err != nil {
		t.Fatal(err)
	}
	c := &captor{t: t, cmd: exec.Command(name, args...)}
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	c.until("the run begins", func() bool { return strings.Contains(c.out.String(), `{"run":`) })
	return c
}

// until waits for something, for 10 seconds.
func (c *captor) until(what string, ok func() bool) {
	c.t.Helper()
	for range 200 {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	c.t.Fatalf("%s: not so; it says %s\n%s", what, &c.err, &c.out)
}

// end ends it and returns its status.
func (c *captor) end() int {
	c.t.Helper()
	c.cmd.Process.Signal(syscall.SIGTERM)
	c.cmd.Wait()
	return c.cmd.ProcessState.ExitCode()
}

// status returns a line of /proc/PID/status of every thread, once each.
func (c *captor) status(field string) string {
	c.t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", c.cmd.Process.Pid))
	have := map[string]bool{}
	for _, name := range tasks {
		b, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		m := regexp.MustCompile(`(?m)^` + field + `:\s*(.*)$`).FindSubmatch(b)
		if m != nil {
			have[strings.Join(strings.Fields(string(m[1])), " ")] = true
		}
	}
	var list []string
	for s := range have {
		list = append(list, s)
	}
	return strings.Join(list, " | ")
}

// A faulty is a gateway that hides its upstream's 401.
type faulty struct{ gateway, upstream *httptest.Server }

func newFaulty(t *testing.T) *faulty {
	f := &faulty{}
	f.upstream = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(f.upstream.Close)
	f.gateway = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ask, _ := http.NewRequest("POST", f.upstream.URL+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`))
		ask.Header.Set("Content-Type", "application/json")
		ask.Header.Set("Authorization", r.Header.Get("Authorization"))
		if a, err := http.DefaultClient.Do(ask); err == nil {
			io.Copy(io.Discard, a.Body)
			a.Body.Close()
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`)
	}))
	t.Cleanup(f.gateway.Close)
	return f
}

func (f *faulty) port() string {
	_, port, _ := net.SplitHostPort(f.gateway.Listener.Addr().String())
	return port
}

func (f *faulty) upstreamPort() string {
	_, port, _ := net.SplitHostPort(f.upstream.Listener.Addr().String())
	return port
}

// filter is the ports of both.
func (f *faulty) filter() string { return "port " + f.port() + " or " + f.upstreamPort() }

// ask is a client's call.
func (f *faulty) ask(t *testing.T) {
	t.Helper()
	r, _ := http.NewRequest("POST", f.gateway.URL+"/issues/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer stale-token")
	a, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, a.Body)
	a.Body.Close()
}

// found waits for so many findings.
func (c *captor) found(n int) {
	c.t.Helper()
	c.until(fmt.Sprint(n, " findings"), func() bool { return strings.Count(c.out.String(), `{"finding":{"rule":"swallowed-401"`) >= n })
}

// folder makes one that is a user's.
func folder(t *testing.T, uid int) string {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "mcp401-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, uid); err != nil {
		t.Skip(err)
	}
	return dir
}

// Root's rights are gone when packets are read, in every thread, and what has
// to be done later can be done: another file, and a key log that was rotated.
func TestPrivileges(t *testing.T) {
	const none, files = "0000000000000000", "0000000000000002"
	for _, c := range []struct {
		name      string
		env       []string
		args      []string
		folder    int // whose the folder of -w is
		uid, caps string
		says      string
	}{
		{"nobody", nil, nil, 65534, "65534 65534 65534 65534", none, ""},
		{"sudo", []string{"SUDO_UID=54321", "SUDO_GID=54321"}, nil, 54321, "54321 54321 54321 54321", none, ""},
		{"sudo, whose folder is another's", []string{"SUDO_UID=54321", "SUDO_GID=54321"}, nil, 65534, "65534 65534 65534 65534", none, ""},
		{"named", nil, []string{"--user", "nobody"}, 65534, "65534 65534 65534 65534", none, ""},
		{"root is named", nil, []string{"--user", "root"}, 0, "0 0 0 0", files, ""},
		{"a folder of root's", nil, nil, 0, "0 0 0 0", files, "mcp401: still root, with the right to files only: nobody cannot: write --write "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if os.Geteuid() != 0 {
				t.Skip("packet sockets need root")
			}
			f := newFaulty(t)
			dir := folder(t, c.folder)
			file := filepath.Join(dir, "kept.pcapng")
			args := append(append([]string{"live", "-i", "lo", "-w", file}, c.args...), strings.Fields(f.filter())...)
			p := begin(t, append(c.env, "HOME=/"), args...)
			if got := p.status("Uid"); got != c.uid {
				t.Errorf("user %s, want %s", got, c.uid)
			}
			for _, set := range []string{"CapPrm", "CapEff"} {
				if got := p.status(set); got != c.caps {
					t.Errorf("%s: %s, want %s", set, got, c.caps)
				}
			}
			if said := p.err.String(); c.says == "" && said != "" || !strings.HasPrefix(said, c.says) {
				t.Errorf("it says %q", said)
			}
			f.ask(t)
			p.found(1)
			p.cmd.Process.Signal(syscall.SIGHUP)
			p.until("another file", func() bool { _, err := os.Stat(file + ".1"); return err == nil })
			if status := p.end(); status != 1 {
				t.Errorf("status %d: %s", status, &p.err)
			}
		})
	}
}

// A program that may capture and is not root gives that right up.
func TestCapabilityIsDropped(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("setcap needs root")
	}
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("setpriv is not installed")
	}
	name, err := static()
	if err != nil {
		t.Fatal(err)
	}
	f := newFaulty(t)
	c := &captor{t: t, cmd: exec.Command(setpriv, append([]string{"--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps", "+net_raw", "--ambient-caps", "+net_raw",
		name, "live", "-i", "lo"}, strings.Fields(f.filter())...)...)}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.cmd.Process.Kill()
	c.until("the run begins", func() bool { return strings.Contains(c.out.String(), `{"run":`) })
	for _, set := range []string{"CapPrm", "CapEff", "CapAmb"} {
		if got := c.status(set); got != "0000000000000000" {
			t.Errorf("%s: %s", set, got)
		}
	}
	f.ask(t)
	c.found(1)
	if status := c.end(); status != 1 || c.err.String() != "" {
		t.Errorf("status %d: %s", status, &c.err)
	}
}
