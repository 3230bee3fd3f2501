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

	"mcp401/cmd/internal/lag"
)

// static builds the program as it is given out, without cgo.
var static = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "mcp401-")
	if err != nil {
		return "", err
	}
	atEnd = append(atEnd, func() { os.RemoveAll(dir) })
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

// until waits for something, for a minute.
func (c *captor) until(what string, ok func() bool) {
	c.t.Helper()
	for range 1200 {
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

// ip runs ip(8), and skips the test where that cannot be.
func ip(t *testing.T, args string) {
	t.Helper()
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		t.Skipf("ip %s: %v: %s", args, err, out)
	}
}

// namespaces makes network namespaces with loopback, which go with the test.
func namespaces(t *testing.T, names ...string) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip is not installed")
	}
	var list []string
	for _, n := range names {
		name := fmt.Sprintf("mcp401-%s-%d", n, os.Getpid())
		ip(t, "netns add "+name)
		t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
		ip(t, "-n "+name+" link set lo up")
		list = append(list, name)
	}
	return list
}

// An interface that goes is said, once, and that it is back; what is on it then
// is found.
func TestInterfaceComesAndGoes(t *testing.T) {
	n := namespaces(t, "if")[0]
	add := func() {
		ip(t, "-n "+n+" link add v0 type veth peer name v1")
		ip(t, "-n "+n+" link set v0 up")
		ip(t, "-n "+n+" link set v1 up")
	}
	add()
	c := begin(t, nil, "live", "--netns", n, "-i", "v0", "-i", "lo", "tcp")
	said := func(want string) {
		t.Helper()
		c.until(want, func() bool { return strings.Contains(c.err.String(), want) })
	}
	ip(t, "-n "+n+" link set v0 down")
	said("mcp401: v0: the interface is down: nothing is captured on it until it is up\n")
	ip(t, "-n "+n+" link set v0 up")
	said("mcp401: v0: the interface is up again\n")
	ip(t, "-n "+n+" link del v0")
	said("mcp401: v0: the interface is gone: ")
	add()
	c.until("up twice", func() bool { return strings.Count(c.err.String(), "v0: the interface is up again") == 2 })
	if status := c.end(); status != 0 || strings.Count(c.err.String(), "\n") != 4 {
		t.Errorf("status %d: %s", status, &c.err)
	}
}

// A gateway that is started anew on its port is the same gateway.
func TestGatewayRestarts(t *testing.T) {
	f := newFaulty(t)
	c := begin(t, []string{"SUDO_UID="}, append([]string{"live", "-i", "lo"}, strings.Fields(f.filter())...)...)
	f.ask(t)
	c.found(1)
	http.DefaultClient.CloseIdleConnections()
	handler, at := f.gateway.Config.Handler, f.gateway.Listener.Addr().String()
	f.gateway.Close()
	l, err := net.Listen("tcp", at)
	if err != nil {
		t.Skip(err)
	}
	next := httptest.NewUnstartedServer(handler)
	next.Listener.Close()
	next.Listener = l
	next.Start()
	defer next.Close()
	f.ask(t)
	c.found(2)
	if status := c.end(); status != 1 || c.err.String() != "" {
		t.Errorf("status %d: %s", status, &c.err)
	}
}

// TestRole is a process of another test in a namespace, and nothing by itself.
func TestRole(t *testing.T) {
	role, at, next := os.Getenv("MCP401_ROLE"), os.Getenv("MCP401_AT"), os.Getenv("MCP401_NEXT")
	serve := func(h http.HandlerFunc) { t.Error(http.ListenAndServe(at, h)) }
	switch role {
	case "upstream":
		serve(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
		})
	case "gateway":
		serve(func(w http.ResponseWriter, r *http.Request) {
			ask, _ := http.NewRequest("POST", "http://"+next+"/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}`))
			ask.Header.Set("Content-Type", "application/json")
			ask.Header.Set("Authorization", r.Header.Get("Authorization"))
			if a, err := http.DefaultClient.Do(ask); err == nil {
				io.Copy(io.Discard, a.Body)
				a.Body.Close()
			}
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}`)
		})
	case "client":
		var err error
		for range 50 {
			r, _ := http.NewRequest("POST", "http://"+next+"/issues/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Authorization", "Bearer stale-token")
			var a *http.Response
			if a, err = http.DefaultClient.Do(r); err == nil {
				io.Copy(io.Discard, a.Body)
				a.Body.Close()
				fmt.Printf("answered %d\n", time.Now().UnixNano())
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Fatal(err)
	}
}

// role starts this test binary in a namespace.
func role(t *testing.T, ns, role, at, next string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, os.Args[0], "-test.run", "^TestRole$")
	cmd.Env = append(os.Environ(), "MCP401_ROLE="+role, "MCP401_AT="+at, "MCP401_NEXT="+next)
	return cmd
}

// A container's packets are seen on its bridge and on its veth: a call is one
// call all the same, told within a second although nothing follows it.
func TestSeenOnSeveralInterfaces(t *testing.T) {
	ns := namespaces(t, "host", "pod")
	host, pod := ns[0], ns[1]
	ip(t, "-n "+host+" link add br0 type bridge")
	ip(t, "-n "+host+" addr add 10.77.0.1/24 dev br0")
	ip(t, "-n "+host+" link add h0 type veth peer name eth0 netns "+pod)
	ip(t, "-n "+host+" link set h0 master br0")
	ip(t, "-n "+host+" link set h0 up")
	ip(t, "-n "+host+" link set br0 up")
	ip(t, "-n "+pod+" addr add 10.77.0.2/24 dev eth0")
	ip(t, "-n "+pod+" link set eth0 up")
	for _, r := range []*exec.Cmd{role(t, host, "upstream", "10.77.0.1:9101", ""), role(t, pod, "gateway", "10.77.0.2:4000", "10.77.0.1:9101")} {
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		defer r.Wait()
		defer r.Process.Kill()
	}
	if out, err := role(t, host, "client", "", "10.77.0.2:4000").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, interfaces := range []string{"any", "br0 h0", "any br0 h0", "h0"} {
		t.Run(interfaces, func(t *testing.T) {
			args := []string{"live", "--netns", host}
			for _, name := range strings.Fields(interfaces) {
				args = append(args, "-i", name)
			}
			c := begin(t, nil, append(args, "tcp")...)
			lagging := lag.Measure()
			out, err := role(t, host, "client", "", "10.77.0.2:4000").CombinedOutput()
			var at int64
			if _, bad := fmt.Sscanf(string(out), "answered %d", &at); err != nil || bad != nil {
				t.Fatalf("%v: %s", err, out)
			}
			for deadline := time.Now().Add(time.Minute); !strings.Contains(c.out.String(), `{"finding":`) && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			late := time.Since(time.Unix(0, at))
			machine := lagging()
			t.Logf("told %v after the answer, the machine was %v late", late, machine)
			if late > time.Second+machine {
				t.Errorf("told %v after the answer, the machine was %v late", late, machine)
			}
			time.Sleep(500 * time.Millisecond) // for what must not come
			status := c.end()
			cases := strings.Count(c.out.String(), `{"case":`)
			if status != 1 || cases != 1 || strings.Count(c.out.String(), `{"finding":{"rule":"swallowed-401"`) != 1 {
				t.Errorf("status %d, %d cases\n%s%s", status, cases, &c.out, &c.err)
			}
		})
	}
}

// The second signal ends the program at once, though a call is open.
func TestSecondSignal(t *testing.T) {
	name, err := static()
	if err != nil {
		t.Fatal(err)
	}
	capture, err := os.ReadFile("../../samples/swallowed-401-token-rejected/capture.pcap")
	if err != nil {
		t.Fatal(err)
	}
	c := &captor{t: t, cmd: exec.Command(name, "live", "-r", "-")}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	in, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer c.cmd.Process.Kill()
	// Up to the client's request, and no more.
	if i := bytes.Index(capture, []byte("tools/list")); i < 0 {
		t.Fatal("no request in the capture")
	} else if _, err := in.Write(capture[:i+600]); err != nil {
		t.Fatal(err)
	}
	c.until("the run begins", func() bool { return strings.Contains(c.out.String(), `{"run":`) })
	time.Sleep(300 * time.Millisecond) // in which the call is read
	lagging := lag.Measure()
	over := make(chan error)
	go func() { over <- c.cmd.Wait() }()
	// On a busy machine the second may come before the first was taken.
	signals := 0
	for ended := false; !ended; {
		c.cmd.Process.Signal(syscall.SIGINT)
		signals++
		select {
		case <-over:
			ended = true
		case <-time.After(200 * time.Millisecond):
		}
	}
	late := lagging()
	ws := c.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if signals > 2 && late == 0 || !ws.Signaled() || ws.Signal() != syscall.SIGINT || strings.Contains(c.out.String(), `{"summary":`) {
		t.Errorf("%v after %d signals\n%s%s", c.cmd.ProcessState, signals, &c.out, &c.err)
	}
}
