package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	gocmp "github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"mcp401/capture"
	"mcp401/rules/report"
)

// insideEnv is set in the process that has network namespaces of its own.
const insideEnv = "MCP401_TEST_INSIDE"

// mustRunEnv makes what is missing here a failure: where everything is there,
// as in CI, nothing may be skipped unnoticed.
const mustRunEnv = "MCP401_TEST_ALL"

func init() {
	if os.Getenv(insideEnv) != "" {
		// The tests do not run on the first thread: its namespace, which is that
		// of the process for others, stays the same.
		runtime.LockOSThread()
	}
}

func cannot(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv(mustRunEnv) != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// What live says of a gateway's traffic is what analyze says of the same
// traffic captured by tcpdump: over loopback and veth, with and without VLAN,
// IPv4 and IPv6, TLS whose keys are logged meanwhile, HTTP/1 and HTTP/2, one
// after another and at once.
func TestLiveInNamespaces(t *testing.T) {
	ownNamespace(t, inside)
}

// ownNamespace runs the test, which f is the rest of, once more in a process
// with network namespaces of its own: as root, or in a user namespace.
func ownNamespace(t *testing.T, f func(*testing.T)) {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		os.Unsetenv(insideEnv) // not for the commands
		f(t)
		return
	}
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	for _, tool := range []string{"tcpdump", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			cannot(t, "%s is not installed", tool)
		}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=24h")
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		// The same user, who may do in a user namespace of his own what the test
		// needs: tcpdump wants to become somebody else when it is root.
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_SYS_ADMIN}
	}
	runtime.LockOSThread() // Pdeathsig is of the thread
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if testing.Verbose() { // as it comes: a load lasts for long
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		t.Errorf("%v\n%s", err, out.String())
	default: // it was not started
		cannot(t, "no network namespace here, neither as root nor in a user namespace: %v", err)
	}
}

// A place is a network namespace. The zero place is the one that this process
// is in.
type place struct{ ns *os.File }

// newPlace makes a namespace that lasts until the test is over.
func newPlace(t *testing.T) place {
	t.Helper()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	var p place
	err = place{own}.do(func() (err error) {
		if err = unix.Unshare(unix.CLONE_NEWNET); err == nil {
			p.ns, err = os.Open("/proc/thread-self/ns/net")
		}
		return err
	})
	if err != nil {
		cannot(t, "no second network namespace: %v", err)
	}
	t.Cleanup(func() { p.ns.Close() })
	return p
}

// do runs f in the place: sockets that it opens and commands that it starts
// stay there.
func (p place) do(f func() error) error {
	if p.ns == nil {
		return f()
	}
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer home.Close()
	if err := unix.Setns(int(p.ns.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		return errors.Join(err, back) // the thread stays locked: nothing else may run there
	}
	runtime.UnlockOSThread()
	return err
}

func (p place) run(t *testing.T, lines string) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		args := strings.Fields(line)
		err := p.do(func() error {
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func (p place) listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	var l net.Listener
	err := p.do(func() (err error) {
		l, err = net.Listen("tcp", addr)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// dial connects from an address of the place, or from whichever fits.
func (p place) dial(ctx context.Context, from, addr string) (net.Conn, error) {
	var d net.Dialer
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	var c net.Conn
	err := p.do(func() (err error) {
		c, err = d.DialContext(ctx, "tcp", addr) // an IP address: everything on this thread
		return err
	})
	return c, err
}

// tagging makes an interface send every frame with a VLAN tag, and takes the
// tag off what comes in: two BPF programs at the places where the kernel has
// its traffic control, for kernels that are built without VLAN interfaces.
func (p place) tagging(name string) error {
	const (
		attachIngress, attachEgress = 46, 47 // BPF_TCX_INGRESS, BPF_TCX_EGRESS
		push, pop                   = 18, 19 // bpf_skb_vlan_push, bpf_skb_vlan_pop
		loadProgram, createLink     = 5, 28  // of bpf(2)
		movK, call, exit            = 0xb7, 0x85, 0x95
	)
	type insn struct {
		op, reg uint8
		off     int16
		imm     int32
	}
	next := []insn{{movK, 0, 0, -1}, {exit, 0, 0, 0}} // TCX_NEXT
	proto := int32(binary.NativeEndian.Uint16([]byte{0x81, 0}))
	return p.do(func() error {
		i, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		for attach, program := range map[uint32][]insn{
			attachEgress:  append([]insn{{movK, 2, 0, proto}, {movK, 3, 0, 3}, {call, 0, 0, push}}, next...),
			attachIngress: append([]insn{{call, 0, 0, pop}}, next...),
		} {
			license := []byte("BSD\x00")
			load := struct {
				kind, count       uint32
				insns, license    uint64
				logLevel, logSize uint32
				log               uint64
				version, flags    uint32
				name              [16]byte
				ifindex, attach   uint32
			}{kind: unix.BPF_PROG_TYPE_SCHED_CLS, count: uint32(len(program)), insns: uint64(uintptr(unsafe.Pointer(&program[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))), attach: attach}
			var fd uintptr
			errno := unix.EAGAIN
			// A signal, as the runtime sends them, breaks off the kernel's check of the program.
			for try := 0; errno == unix.EAGAIN && try < 100; try++ {
				fd, _, errno = unix.Syscall(unix.SYS_BPF, loadProgram, uintptr(unsafe.Pointer(&load)), unsafe.Sizeof(load))
			}
			runtime.KeepAlive(program)
			runtime.KeepAlive(license)
			if errno != 0 {
				return fmt.Errorf("loading a BPF program: %w", errno)
			}
			link := struct{ fd, ifindex, attach, flags uint32 }{uint32(fd), uint32(i.Index), attach, 0}
			// The link, and with it the program, lasts as long as this process.
			if _, _, errno := unix.Syscall(unix.SYS_BPF, createLink, uintptr(unsafe.Pointer(&link)), unsafe.Sizeof(link)); errno != 0 {
				return fmt.Errorf("attaching it: %w", errno)
			}
		}
		return nil
	})
}

// cables makes two places and a cable to each: g0 to r0 plain, and g1 to r1
// with VLAN tags on it. The gateway has one address more, which both reach.
//
// Where the kernel has no VLAN interfaces, and lets nobody load BPF who is root
// in a user namespace only, there are no tags.
func cables(t *testing.T) (plain, tagged place, tags bool) {
	t.Helper()
	here := place{}
	here.run(t, "ip link set lo up\nip addr add 10.9.9.1/32 dev lo\nip addr add fd09:9::1/128 dev lo nodad")
	for i, far := range []*place{&plain, &tagged} {
		*far = newPlace(t)
		here.run(t, fmt.Sprintf("ip link add g%d type veth peer name r%d netns /proc/%d/fd/%d\nip link set g%d up", i, i, os.Getpid(), far.ns.Fd(), i))
		far.run(t, fmt.Sprintf("ip link set lo up\nip link set r%d up", i))
	}
	near, distant := "g1", "r1"
	if err := exec.Command("ip", "link", "add", "link", "g1", "name", "g1.3", "type", "vlan", "id", "3").Run(); err == nil {
		near, distant, tags = "g1.3", "r1.3", true
		here.run(t, "ip link set g1.3 up")
		tagged.run(t, "ip link add link r1 name r1.3 type vlan id 3\nip link set r1.3 up")
	} else if err := errors.Join(here.tagging("g1"), tagged.tagging("r1")); err != nil {
		if os.Getenv(mustRunEnv) != "" {
			t.Fatal(err)
		}
		t.Logf("SKIPPED: VLAN: no such interfaces in this kernel, and no BPF in their place: %v", err)
	} else {
		tags = true
	}
	for i, dev := range []string{"g0", near} {
		here.run(t, fmt.Sprintf("ip addr add 10.9.%d.1/24 dev %s\nip addr add fd09:%d::1/64 dev %s nodad", i, dev, i, dev))
	}
	for i, dev := range []string{"r0", distant} {
		[]place{plain, tagged}[i].run(t, strings.NewReplacer("N", fmt.Sprint(i), "DEV", dev).Replace(`
			ip addr add 10.9.N.2/24 dev DEV
			ip addr add 10.9.N.3/24 dev DEV
			ip addr add fd09:N::2/64 dev DEV nodad
			ip addr add fd09:N::3/64 dev DEV nodad
			ip route add 10.9.9.1/32 via 10.9.N.1
			ip route add fd09:9::1/128 via fd09:N::1`))
	}
	return plain, tagged, tags
}

// A server is one upstream and how the gateway treats it.
type server struct {
	name    string
	forward bool // the client's Authorization goes there
	told    bool // the client is told of a refusal
	down    bool // nobody listens
}

var servers = []server{
	{name: "healthy", forward: true},
	{name: "wall", forward: true}, // refuses everything but the right token
	{name: "noextra"},
	{name: "honest", forward: true, told: true},
	{name: "down", forward: true, down: true},
}

// A call is what a client asks, and what a right analysis says of it.
type call struct {
	path, servers, token    string // of the token the begin: each client has its own
	verdict, cause, failure string
}

const rightToken = "the-right-token"

// expired is a JWT whose time is over, but for the end of its signature, which
// nobody checks.
var expired = base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
	base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"somebody","exp":1600000000}`)) + ".c2lnbmF0dXJl"

var calls = []call{
	{path: "/healthy/mcp", token: rightToken, verdict: "listed"},
	{path: "/wall/mcp", token: rightToken, verdict: "listed"},
	{path: "/wall/mcp", token: expired, verdict: "swallowed-401", cause: "token-expired"},
	{path: "/wall/mcp", token: "some-other-token", verdict: "swallowed-401", cause: "token-rejected"},
	{path: "/noextra/mcp", token: rightToken, verdict: "swallowed-401", cause: "header-not-forwarded"},
	{path: "/honest/mcp", token: "some-other-token", verdict: "surfaced-auth", cause: "token-rejected"},
	{path: "/down/mcp", token: rightToken, verdict: "swallowed-failure", failure: "refused"},
	{path: "/mcp", servers: "healthy,wall", token: expired, verdict: "partial-list", cause: "token-expired"},
}

// bigList makes frames that are as long as segmentation offload makes them. All
// that is sent fits in the ring of a socket, so that nothing is lost however
// busy the machine is.
const bigList = 128 << 10

// upstream answers as an MCP server.
func upstream(s server) http.Handler {
	pad, n := strings.Repeat("Finds things. ", bigList/20/14), 2
	if s.name == "healthy" {
		n = 20
	}
	var tools []string
	for i := range n {
		tools = append(tools, fmt.Sprintf(`{"name":"tool_%d","description":"%s","inputSchema":{"type":"object"}}`, i, pad))
	}
	var sessions atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.name != "healthy" && !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer "+rightToken) {
			w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="Authentication required"`)
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"invalid_token","error_description":"Authentication required"}`)
			return
		}
		var m struct{ Method string }
		json.NewDecoder(r.Body).Decode(&m)
		w.Header().Set("Content-Type", "application/json")
		switch m.Method {
		case "initialize":
			w.Header().Set("Mcp-Session-Id", fmt.Sprint("session-of-", s.name, "-", sessions.Add(1)))
			io.WriteString(w, `{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"}}}`)
		case "tools/list":
			fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"tools":[%s]}}`, strings.Join(tools, ","))
		default:
			w.WriteHeader(http.StatusAccepted)
		}
	})
}

// A gateway asks the upstreams of a call one after another and answers with
// all the tools that it got.
type gateway struct {
	urls   map[string]string
	client *http.Client
}

func (g *gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	names := strings.Split(r.Header.Get("X-Mcp-Servers"), ",")
	if name, _, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); ok {
		names = []string{name}
	}
	tools := []json.RawMessage{}
	for _, name := range names {
		s := servers[slices.IndexFunc(servers, func(s server) bool { return s.name == name })]
		list, status := g.list(s, r.Header.Get("Authorization"))
		if status == http.StatusUnauthorized && s.told {
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(status)
			return
		}
		tools = append(tools, list...)
	}
	text, _ := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 7, "result": map[string]any{"tools": tools}})
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "event: message\ndata: %s\n\n", text)
}

func (g *gateway) list(s server, auth string) (tools []json.RawMessage, status int) {
	if !s.forward {
		auth = ""
	}
	session := ""
	for _, body := range []string{
		`{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"gateway","version":"1"}}}`,
		`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`,
	} {
		r, err := post(g.client, g.urls[s.name], body, http.Header{"Authorization": {auth}, "Mcp-Session-Id": {session}})
		if err != nil {
			return nil, 0
		}
		var m struct {
			Result struct{ Tools []json.RawMessage }
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		json.Unmarshal(b, &m)
		if r.StatusCode >= 300 {
			return nil, r.StatusCode
		}
		session, tools = cmp.Or(session, r.Header.Get("Mcp-Session-Id")), m.Result.Tools
	}
	return tools, 200
}

// post leaves out headers that are empty.
func post(c *http.Client, url, body string, h http.Header) (*http.Response, error) {
	r, err := http.NewRequest("POST", url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	for k, v := range h {
		if v[0] != "" {
			r.Header[k] = v
		}
	}
	return c.Do(r)
}

// A scene is a client, a gateway and upstreams, and what is between them.
type scene struct {
	name              string
	gateway, upstream string // hosts
	from, to          place  // of the client and of the upstreams
	source            string // the client's address, where it is not that of the upstreams
	port              int    // of the gateway; the upstreams have those after it
	tls, http2        bool
	alone, together   int // how often the calls are made, one after another and then at once
}

// client returns who asks from an address of a place: one connection for each
// request, so that a call is named by its client's port, or as few as there
// need be.
func (s *scene) client(p place, source string, keys io.Writer, each bool) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return p.dial(ctx, source, addr) },
		DisableKeepAlives: each, ForceAttemptHTTP2: s.http2,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, KeyLogWriter: keys},
	}}
}

func (s *scene) serve(t *testing.T, p place, host string, port int, h http.Handler) (url string) {
	t.Helper()
	srv := &httptest.Server{Listener: p.listen(t, net.JoinHostPort(host, fmt.Sprint(port))), Config: &http.Server{Handler: h}, EnableHTTP2: s.http2}
	if s.tls {
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return srv.URL
}

// play asks everything.
func (s *scene) play(t *testing.T, keys io.Writer) {
	t.Helper()
	g := &gateway{urls: map[string]string{}, client: s.client(place{}, s.gateway, keys, false)}
	t.Cleanup(g.client.CloseIdleConnections)
	for i, srv := range servers {
		port := s.port + 1 + i
		if srv.down {
			g.urls[srv.name] = "http://" + net.JoinHostPort(s.upstream, fmt.Sprint(port)) + "/mcp"
			continue
		}
		g.urls[srv.name] = s.serve(t, s.to, s.upstream, port, upstream(srv)) + "/mcp"
	}
	url := s.serve(t, place{}, s.gateway, s.port, g)
	ask := func(token string) {
		for _, c := range calls {
			h := http.Header{"Authorization": {"Bearer " + c.token + token}, "X-Mcp-Servers": {c.servers}}
			r, err := post(s.client(s.from, s.source, keys, true), url+c.path, `{"jsonrpc":"2.0","id":7,"method":"tools/list"}`, h)
			if err != nil {
				t.Errorf("%s: %s: %v", s.name, c.path, err)
				return
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
	}
	for i := range s.alone {
		ask(fmt.Sprint("-alone-", i))
	}
	var all sync.WaitGroup
	for i := range s.together {
		all.Go(func() { ask(fmt.Sprint("-together-", i)) })
	}
	all.Wait()
}

// An observer is live and, beside it, one tcpdump for each interface.
type observer struct {
	name       string
	interfaces []string
	from       place // where live runs: with --netns if that is not where the interfaces are
	sees       func(*scene) bool

	live  *exec.Cmd
	errs  bytes.Buffer
	told  chan []report.Object
	dumps []*exec.Cmd
	files []string
}

// start returns when everything listens.
func (o *observer) start(t *testing.T, dir, keylog string) {
	t.Helper()
	for i, name := range o.interfaces {
		file := filepath.Join(dir, fmt.Sprintf("%s.%d.pcap", o.name, i))
		cmd := exec.Command("tcpdump", "-i", name, "-Z", "root", "-s", "0", "-B", "16384", "--time-stamp-precision", "nano", "-w", file)
		o.files, o.dumps = append(o.files, file), append(o.dumps, cmd)
		errs, err := cmd.StderrPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(errs)
		listening := false
		for !listening && lines.Scan() {
			listening = strings.Contains(lines.Text(), "listening on")
		}
		if !listening {
			t.Fatalf("tcpdump -i %s does not listen: %v", name, lines.Text())
		}
		go io.Copy(io.Discard, errs)
	}
	args := []string{"live", "--format", "jsonl", "--fail-on", "never", "--keylog", keylog}
	for _, name := range o.interfaces {
		args = append(args, "-i", name)
	}
	if o.from.ns != nil {
		args = append(args, "--netns", fmt.Sprint(os.Getpid()))
	}
	// The key log is root's, and will be.
	o.live = exec.Command("mcp401", append(args, "--user", "root", "tcp")...)
	o.live.Stderr = &o.errs
	out, err := o.live.StdoutPipe()
	if err == nil {
		err = o.from.do(o.live.Start)
	}
	if err != nil {
		t.Fatal(err)
	}
	began := make(chan bool, 1)
	o.told = make(chan []report.Object, 1)
	go func() {
		var all []report.Object
		defer func() { close(began); o.told <- all }()
		for d := json.NewDecoder(out); ; {
			var v report.Object
			if d.Decode(&v) != nil {
				return
			}
			if v.Run != nil { // the sockets are open
				began <- true
			}
			all = append(all, v)
		}
	}()
	if !<-began {
		o.live.Wait()
		t.Fatalf("%s: live does not begin: %s", o.name, o.errs.String())
	}
}

// stop returns what live told.
func (o *observer) stop(t *testing.T) []report.Object {
	t.Helper()
	for _, cmd := range append(o.dumps, o.live) {
		cmd.Process.Signal(os.Interrupt)
	}
	told := <-o.told
	if err := o.live.Wait(); err != nil {
		t.Errorf("live: %v: %s", err, o.errs.String())
	}
	for _, cmd := range o.dumps {
		cmd.Wait()
	}
	return told
}

// said is every case, every finding and everything lost, as lines that do not
// depend on the numbers of frames.
func said(objects []report.Object) []string {
	var lines []string
	client := map[int]string{}
	for _, o := range objects {
		switch {
		case o.Case != nil:
			c := o.Case
			client[c.Frame] = c.Client
			line := fmt.Sprintf("%s > %s %s: %s cause=%s failure=%s confidence=%s servers=%v", c.Client, c.Gateway, c.Path, c.Verdict, c.Cause, c.Failure, c.Confidence, c.Servers)
			if c.Tools != nil {
				line += fmt.Sprint(" tools=", *c.Tools)
			}
			for _, u := range c.Upstream {
				line += fmt.Sprintf(" [%s %s %s %s %s]", u.Server, u.URL, u.Outcome, u.Cause, u.Confidence)
			}
			lines = append(lines, line)
		case o.Finding != nil:
			f := o.Finding
			lines = append(lines, fmt.Sprintf("%s finding: %s %s cause=%s confidence=%s: %s", client[f.CaseFrame], f.Rule, f.Fingerprint, f.Cause, f.Confidence, f.Text))
		case o.Summary != nil:
			lines = append(lines, fmt.Sprintf("lost: %+v", o.Summary.Lost))
		}
	}
	slices.Sort(lines)
	return lines
}

// right compares verdicts and causes with what the calls of the scenes are.
func right(t *testing.T, objects []report.Object, scenes []*scene) {
	t.Helper()
	var want, got []string
	add := func(to *[]string, gateway, path, verdict, cause, failure string) {
		*to = append(*to, strings.Join([]string{gateway, path, verdict, cause, failure}, " "))
	}
	for _, s := range scenes {
		for range s.alone + s.together {
			for _, c := range calls {
				add(&want, net.JoinHostPort(s.gateway, fmt.Sprint(s.port)), c.path, c.verdict, c.cause, c.failure)
			}
		}
	}
	for _, o := range objects {
		if c := o.Case; c != nil {
			add(&got, c.Gateway, c.Path, c.Verdict, c.Cause, c.Failure)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("not what happened (-happened +told):\n%s", diff)
	}
}

// frames returns the longest frame of a file, and how many have a VLAN tag.
func frames(t *testing.T, file string) (longest, tagged int) {
	t.Helper()
	src, err := capture.Open([]string{file}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for {
		r, err := src.Next()
		if err != nil {
			return longest, tagged
		}
		if r.Packet == nil {
			continue
		}
		longest = max(longest, r.Packet.Length)
		if b := r.Packet.Data; len(b) > 14 && binary.BigEndian.Uint16(b[12:]) == 0x8100 {
			tagged++
		}
	}
}

func inside(t *testing.T) {
	plain, tagged, tags := cables(t)
	scenes := []*scene{
		{name: "loopback, IPv4", gateway: "127.0.0.1", upstream: "127.0.0.1", port: 4000, alone: 1},
		{name: "loopback, IPv6", gateway: "::1", upstream: "::1", port: 4000, alone: 1},
		{name: "loopback, TLS", gateway: "127.0.0.2", upstream: "127.0.0.2", port: 4000, tls: true, alone: 1},
		{name: "veth, IPv4", gateway: "10.9.0.1", upstream: "10.9.0.2", from: plain, source: "10.9.0.3", to: plain, port: 4000, alone: 1},
		{name: "veth, IPv6", gateway: "fd09::1", upstream: "fd09::2", from: plain, source: "fd09::3", to: plain, port: 4000, alone: 1},
		{name: "veth, TLS and HTTP/2", gateway: "10.9.0.1", upstream: "10.9.0.2", from: plain, source: "10.9.0.3", to: plain, port: 4100, tls: true, http2: true, alone: 1},
		{name: "VLAN, IPv4", gateway: "10.9.1.1", upstream: "10.9.1.2", from: tagged, source: "10.9.1.3", to: tagged, port: 4000, alone: 1},
		{name: "VLAN, IPv6", gateway: "fd09:1::1", upstream: "fd09:1::2", from: tagged, source: "fd09:1::3", to: tagged, port: 4000, alone: 1},
		{name: "veth to VLAN", gateway: "10.9.9.1", upstream: "10.9.1.2", from: plain, source: "10.9.0.3", to: tagged, port: 4200, alone: 1},
		{name: "VLAN to veth, IPv6, many at once", gateway: "fd09:9::1", upstream: "fd09::2", from: tagged, source: "fd09:1::3", to: plain, port: 4300, alone: 3, together: 6},
	}
	onLoopback := func(s *scene) bool { return s.to.ns == nil }
	// With three rounds it is known which server is where, before it is needed:
	// live cannot wait for it as long as analyze does.
	observers := []*observer{
		{name: "any", interfaces: []string{"any"}, sees: func(*scene) bool { return true }},
		{name: "loopback", interfaces: []string{"lo"}, sees: onLoopback},
		{name: "loopback-from-outside", interfaces: []string{"lo"}, from: plain, sees: onLoopback},
		{name: "two-cables", interfaces: []string{"g0", "g1"}, sees: func(s *scene) bool { return !onLoopback(s) }},
	}
	dir := t.TempDir()
	keylog := filepath.Join(dir, "keys.log") // not there yet: live waits for it
	for _, o := range observers {
		o.start(t, dir, keylog)
	}
	keys, err := os.Create(keylog)
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close()
	for _, s := range scenes {
		s.play(t, keys)
	}
	time.Sleep(1500 * time.Millisecond) // what tcpdump's ring holds back
	for _, o := range observers {
		t.Run(o.name, func(t *testing.T) {
			told := o.stop(t)
			text, status := run(t, append([]string{"analyze", "--format", "jsonl", "--fail-on", "never", "--keylog", keylog}, o.files...)...)
			if status != 0 {
				t.Fatalf("analyze: status %d", status)
			}
			var offline []report.Object
			for d := json.NewDecoder(bytes.NewReader([]byte(text))); d.More(); {
				var v report.Object
				if err := d.Decode(&v); err != nil {
					t.Fatal(err)
				}
				offline = append(offline, v)
			}
			if diff := gocmp.Diff(said(offline), said(told)); diff != "" {
				t.Errorf("live tells something else than analyze (-analyze +live):\n%s", diff)
			}
			var seen []*scene
			for _, s := range scenes {
				if o.sees(s) {
					seen = append(seen, s)
				}
			}
			right(t, told, seen)
		})
	}
	longest, _ := frames(t, observers[3].files[0])
	if longest < 16<<10 {
		t.Errorf("no frame as long as segmentation offload makes them: %d bytes", longest)
	}
	if _, n := frames(t, observers[3].files[1]); (n > 0) != tags {
		t.Errorf("%d frames have a VLAN tag", n)
	}
}
