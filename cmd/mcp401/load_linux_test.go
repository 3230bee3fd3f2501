package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"mcp401/capture/capturetest"
	"mcp401/rules/report"
)

// The calls of a load, as text. The digits are replaced in each copy, all
// nines by the number of the server and all zeros by that of the call.
const (
	healthyCall = `
down> POST /h99/mcp
  Authorization: Bearer token-00000000
  rpc tools/list 7
up> POST /mcp
  Authorization: Bearer token-00000000
  rpc initialize 0
up< 200 sse
  mcp-session-id: session-00000000
  result init healthy
up> POST /mcp
  Authorization: Bearer token-00000000
  mcp-session-id: session-00000000
  rpc notifications/initialized
up< 202
up.2> GET /mcp
  Authorization: Bearer token-00000000
  Accept: text/event-stream
  mcp-session-id: session-00000000
up.2< 200 sse
  ping
  ...
up> POST /mcp
  Authorization: Bearer token-00000000
  mcp-session-id: session-00000000
  rpc tools/list 1
up< 200 sse
  result tools 40
up> DELETE /mcp
  Authorization: Bearer token-00000000
  mcp-session-id: session-00000000
up< 200
up. close
up.2. close
down< 200 sse
  result tools 40
down. close
`
	refusedCall = `
down> POST /r99/mcp
  Authorization: Bearer token-00000000
  rpc tools/list 7
up> POST /mcp
  Authorization: Bearer token-00000000
  rpc initialize 0
up< 401 json
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
up. close
down< 200 sse
  result tools 0
down. close
`
)

// A template is the frames of one call.
type template struct {
	refused bool
	frames  []templateFrame
}

// A templateFrame is one frame and where it differs from call to call.
type templateFrame struct {
	data            []byte
	client          int // where the client's address and port are: 26 and 34, or 30 and 36; 0: not its connection
	upstream        int // where the upstream's address is, 30 or 26; 0: not its connection
	net             byte
	conn            int // of the connections to the upstream: which
	servers, numers []int
}

func newTemplate(t *testing.T, script string, refused bool) *template {
	t.Helper()
	out := &template{refused: refused}
	conns := map[string]int{}
	for _, r := range capturetest.MustParse(script).Records() {
		b := bytes.Clone(r.Packet.Data)
		f := templateFrame{data: b}
		source, dest := string(b[34:36]), string(b[36:38])
		gateway := string([]byte{4000 >> 8, 4000 & 0xff})
		switch {
		case dest == gateway:
			f.client = 26
		case source == gateway:
			f.client = 30
		default:
			own := source
			if f.upstream = 30; b[28] == 2 { // 10.0.2.N: from the upstream
				f.upstream, own = 26, dest
			}
			if f.net = 2; refused {
				f.net = 3
			}
			if _, ok := conns[own]; !ok {
				conns[own] = len(conns)
			}
			f.conn = conns[own]
		}
		for i := range b {
			if bytes.HasPrefix(b[i:], []byte("99/mcp")) {
				f.servers = append(f.servers, i)
			}
			if bytes.HasPrefix(b[i:], []byte("n-00000000")) {
				f.numers = append(f.numers, i+2)
			}
		}
		out.frames = append(out.frames, f)
	}
	return out
}

// loadServers is how many upstreams the load has; each has its own address.
const loadServers = 50

// write puts a frame of call n into b.
func (f *templateFrame) write(b []byte, n int) []byte {
	b = append(b[:0], f.data...)
	put := func(at, v int) { b[at], b[at+1] = byte(v>>8), byte(v) }
	server := n % loadServers
	if at := f.client; at > 0 {
		b[at+1] = 1
		put(at+2, n)
		put(34+(at-26)/2, 1024+n%50000)
	} else {
		b[f.upstream+2], b[f.upstream+3] = f.net, byte(1+server)
		own := 34
		if f.upstream == 26 {
			own = 36
		}
		put(own, 1024+(n/loadServers*8+f.conn)%60000)
	}
	// Two connections with the same sequence numbers are one, captured twice.
	for _, at := range []int{38, 42} {
		if v := binary.BigEndian.Uint32(b[at:]); at == 38 || b[47]&0x10 != 0 {
			binary.BigEndian.PutUint32(b[at:], v+uint32(n)*2654435761)
		}
	}
	for _, i := range f.servers {
		b[i], b[i+1] = '0'+byte(server/10), '0'+byte(server%10)
	}
	for _, i := range f.numers {
		for k, v := 7, n; k >= 0; k, v = k-1, v/10 {
			b[i+k] = '0' + byte(v%10)
		}
	}
	return b
}

// A sender sends frames at a rate, many with one system call.
type sender struct {
	fd    int
	rate  int // frames a second
	began time.Time
	sent  int
	batch [64][]byte
	n     int // of the batch that are written
	iov   [64]unix.Iovec
	msgs  [64]struct {
		hdr unix.Msghdr
		n   uint32
		_   uint32
	}
}

func newSender(t *testing.T, name string, rate int) *sender {
	t.Helper()
	i, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	s := &sender{rate: rate, began: time.Now()}
	if s.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(s.fd) })
	if err := unix.Bind(s.fd, &unix.SockaddrLinklayer{Ifindex: i.Index}); err != nil {
		t.Fatal(err)
	}
	unix.SetsockoptInt(s.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	return s
}

// next returns room for a frame; keep counts it.
func (s *sender) next() []byte { return s.batch[s.n] }

func (s *sender) keep(t *testing.T, b []byte) {
	s.batch[s.n] = b
	if s.n++; s.n == len(s.batch) {
		s.flush(t)
	}
}

// flush waits until it is time for the batch, and sends it.
func (s *sender) flush(t *testing.T) {
	due := s.began.Add(time.Duration(s.sent) * time.Second / time.Duration(s.rate))
	if wait := time.Until(due); wait > 0 {
		time.Sleep(wait)
	} else if wait < -50*time.Millisecond {
		s.began = s.began.Add(-wait) // the machine was busy: what was missed is not made up for
	}
	for i := range s.n {
		s.iov[i] = unix.Iovec{Base: &s.batch[i][0], Len: uint64(len(s.batch[i]))}
		s.msgs[i].hdr = unix.Msghdr{Iov: &s.iov[i], Iovlen: 1}
	}
	for from := 0; from < s.n; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&s.msgs[from])), uintptr(s.n-from), 0, 0, 0)
		if errno != 0 && errno != unix.EINTR && errno != unix.ENOBUFS && errno != unix.EAGAIN {
			t.Fatal(errno)
		}
		if errno == 0 {
			from += int(n)
		}
	}
	s.sent += s.n
	s.n = 0
}

// A storm is many calls at once.
type storm struct {
	templates []*template
	calls     []running
	made      int    // calls that were begun
	done      [2]int // healthy, refused calls whose frames are all sent
}

type running struct {
	t *template
	n int // of the call
	i int // the next frame
}

func newStorm(t *testing.T, atOnce int) *storm {
	h, r := newTemplate(t, healthyCall, false), newTemplate(t, refusedCall, true)
	return &storm{templates: []*template{h, r}, calls: make([]running, atOnce)}
}

// step sends the next frame of any call. With drain no call is begun; false: all
// are over.
func (m *storm) step(t *testing.T, s *sender, drain bool) bool {
	k := rand.IntN(len(m.calls))
	for tries := 0; m.calls[k].t == nil && drain; tries++ {
		if tries == len(m.calls) {
			return false
		}
		k = (k + 1) % len(m.calls)
	}
	c := &m.calls[k]
	if c.t == nil {
		*c = running{t: m.templates[min(rand.IntN(10)/7, 1)], n: m.made} // 3 of 10 are refused
		m.made++
	}
	s.keep(t, c.t.frames[c.i].write(s.next(), c.n))
	if c.i++; c.i == len(c.t.frames) {
		if c.t.refused {
			m.done[1]++
		} else {
			m.done[0]++
		}
		*c = running{}
	}
	return true
}

// A watched is live under load.
type watched struct {
	cmd     *exec.Cmd
	errs    bytes.Buffer
	over    chan struct{}
	summary report.Summary
	accused int // healthy calls that are accused
}

func watch(t *testing.T, args ...string) *watched {
	t.Helper()
	w := &watched{over: make(chan struct{})}
	w.cmd = exec.Command("mcp401", append([]string{"live", "--format", "jsonl", "--fail-on", "never", "--gateway", "10.0.1.1:4000"}, args...)...)
	w.cmd.Stderr = &w.errs
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	if !lines.Scan() {
		w.cmd.Wait()
		t.Fatalf("live does not begin: %s", w.errs.String())
	}
	go func() {
		defer close(w.over)
		for lines.Scan() {
			b := lines.Bytes()
			switch {
			case bytes.HasPrefix(b, []byte(`{"case":`)):
				if bytes.Contains(b, []byte(`"path":"/h`)) && bytes.Contains(b, []byte(`"verdict":"swallowed-`)) {
					w.accused++
				}
			case bytes.HasPrefix(b, []byte(`{"summary":`)):
				var o report.Object
				if json.Unmarshal(b, &o) == nil {
					w.summary = *o.Summary
				}
			}
		}
		io.Copy(io.Discard, out)
	}()
	return w
}

func (w *watched) stop(t *testing.T) {
	t.Helper()
	w.cmd.Process.Signal(os.Interrupt)
	<-w.over
	if err := w.cmd.Wait(); err != nil {
		t.Errorf("live: %v: %s", err, w.errs.String())
	}
}

// status is a field of /proc/PID/status in KiB, and the CPU time until now.
func (w *watched) status(field string) (kib int, cpu time.Duration) {
	dir := fmt.Sprintf("/proc/%d/", w.cmd.Process.Pid)
	text, _ := os.ReadFile(dir + "status")
	if _, after, ok := strings.Cut(string(text), field+":"); ok {
		kib, _ = strconv.Atoi(strings.Fields(after)[0])
	}
	text, _ = os.ReadFile(dir + "stat")
	if f := strings.Fields(string(text)); len(f) > 14 {
		user, _ := strconv.Atoi(f[13])
		system, _ := strconv.Atoi(f[14])
		cpu = time.Duration(user+system) * 10 * time.Millisecond
	}
	return kib, cpu
}

// cable makes a veth pair, v0 and v1, on which nobody else sends.
func cable(t *testing.T) {
	t.Helper()
	place{}.run(t, `ip link set lo up
		ip link add v0 type veth peer name v1
		sysctl -qw net.ipv6.conf.v0.disable_ipv6=1 net.ipv6.conf.v1.disable_ipv6=1
		ip link set v0 up
		ip link set v1 up`)
}

// However much is lost, because the ring is tiny or live is stopped for a
// second, no healthy call is accused.
func TestLossAccusesNobody(t *testing.T) {
	ownNamespace(t, func(t *testing.T) {
		cable(t)
		w := watch(t, "-i", "v1", "-B", "512", "tcp")
		m, s := newStorm(t, 64), newSender(t, "v0", 20000)
		stops := []time.Duration{time.Second, 2 * time.Second}
		for began := time.Now(); time.Since(began) < 4*time.Second; {
			m.step(t, s, false)
			if len(stops) > 0 && time.Since(began) > stops[0] {
				stops = stops[1:]
				w.cmd.Process.Signal(syscall.SIGSTOP)
				time.AfterFunc(500*time.Millisecond, func() { w.cmd.Process.Signal(syscall.SIGCONT) })
			}
		}
		for m.step(t, s, true) {
		}
		s.flush(t)
		time.Sleep(time.Second)
		w.stop(t)
		t.Logf("sent %d healthy and %d refused calls; %+v; %v", m.done[0], m.done[1], w.summary.Lost, w.summary.ByVerdict)
		if w.accused > 0 {
			t.Errorf("%d healthy calls are accused", w.accused)
		}
		if w.summary.Lost.CaptureDrops == 0 || w.summary.ByVerdict["swallowed-401"] == 0 || w.summary.ByVerdict["swallowed-401"] > m.done[1] {
			t.Errorf("%d refused calls, and of %d packets lost: %v", m.done[1], w.summary.Lost.CaptureDrops, w.summary.ByVerdict)
		}
	})
}

// loadEnv asks for TestLoad: how long the storm lasts. It is not for every day:
//
//	MCP401_LOAD=60s go test -v -timeout 0 -run TestLoad ./cmd/mcp401
//
// MCP401_LOAD_RATE is the packets a second (100000), MCP401_LOAD_IDLE how many
// connections come then that never carry anything (0), MCP401_LOAD_TCPDUMP is a
// file, as /dev/null, that tcpdump writes beside live, and MCP401_LOAD_ARGS are
// more flags of live.
const loadEnv = "MCP401_LOAD"

func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// A storm of calls at a steady rate, and then idle connections: what is lost,
// what is judged, and how much memory it takes, now and then.
func TestLoad(t *testing.T) {
	lasts, err := time.ParseDuration(os.Getenv(loadEnv))
	if err != nil {
		t.Skipf("%s is not set: it is the time that the storm lasts", loadEnv)
	}
	ownNamespace(t, func(t *testing.T) { soak(t, lasts) })
}

func soak(t *testing.T, lasts time.Duration) {
	cable(t)
	var dump *exec.Cmd
	var dumped bytes.Buffer
	if file := os.Getenv("MCP401_LOAD_TCPDUMP"); file != "" {
		dump = exec.Command("tcpdump", "-i", "v1", "-Z", "root", "-s", "0", "-B", "32768", "-w", file, "tcp")
		dump.Stderr = &dumped
		if err := dump.Start(); err != nil {
			t.Fatal(err)
		}
	}
	w := watch(t, append([]string{"-i", "v1"}, append(strings.Fields(os.Getenv("MCP401_LOAD_ARGS")), "tcp")...)...)
	rate := number("MCP401_LOAD_RATE", 100000)
	m, s := newStorm(t, 256), newSender(t, "v0", rate)
	began := time.Now()
	every := min(time.Minute, max(lasts/10, time.Second))
	var rss []int
	look := func(what string) {
		kib, cpu := w.status("VmRSS")
		rss = append(rss, kib)
		load, _ := os.ReadFile("/proc/loadavg")
		fmt.Printf("%v %s: %d frames, %d calls; live: %d MiB resident, %v CPU; load %s\n", time.Since(began).Round(time.Second), what, s.sent, m.done[0]+m.done[1], kib>>10, cpu, strings.Join(strings.Fields(string(load))[:3], " "))
	}
	for next := began.Add(every); time.Since(began) < lasts; {
		for range 1000 {
			m.step(t, s, false)
		}
		if time.Now().After(next) {
			next = next.Add(every)
			look("storm")
		}
	}
	for m.step(t, s, true) {
	}
	took := time.Since(began)
	s.flush(t)
	fmt.Printf("storm over: %d frames in %v, %.0f a second\n", s.sent, took.Round(time.Millisecond), float64(s.sent)/took.Seconds())
	if n := len(rss); n >= 8 {
		if early, late := slices.Max(rss[n/4:n/2]), slices.Max(rss[3*n/4:]); late > early+early/4 {
			t.Errorf("resident memory grows: %d MiB, later %d MiB", early>>10, late>>10)
		}
	}
	idle := number("MCP401_LOAD_IDLE", 0)
	syn := m.templates[0].frames[0]
	for i, next := 0, time.Now(); i < idle; i++ {
		b := syn.write(s.next(), 0)
		r := rand.Uint64()
		copy(b[26:30], []byte{11, byte(r), byte(r >> 8), byte(r >> 16)})
		b[34], b[35] = byte(r>>24), byte(r>>32)
		s.keep(t, b)
		if i%1000 == 0 && time.Now().After(next) {
			next = next.Add(every)
			look(fmt.Sprintf("idle connections, %d of %d", i, idle))
		}
	}
	s.flush(t)
	time.Sleep(1500 * time.Millisecond)
	look("end")
	kib, _ := w.status("VmHWM")
	w.stop(t)
	lost := w.summary.Lost
	fmt.Printf("highest %d MiB; sent %d healthy and %d refused calls; judged %v; lost %+v; %d healthy calls accused\n", kib>>10, m.done[0], m.done[1], w.summary.ByVerdict, lost, w.accused)
	if dump != nil {
		dump.Process.Signal(os.Interrupt)
		dump.Wait()
		fmt.Printf("%s\n", dumped.String())
	}
	if w.accused > 0 {
		t.Errorf("%d healthy calls are accused", w.accused)
	}
	if lost.CaptureDrops == 0 && (w.summary.ByVerdict["listed"] != m.done[0] || w.summary.ByVerdict["swallowed-401"] != m.done[1]) {
		t.Errorf("nothing is lost, and %v is judged", w.summary.ByVerdict)
	}
	if kib > 1<<20 {
		t.Errorf("%d MiB resident", kib>>10)
	}
}
