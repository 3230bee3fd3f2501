package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"mcp401/capture"
	"mcp401/capture/filter"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("packet sockets need root")
	}
}

func openLive(t *testing.T, cfg capture.Live) *capture.LiveSource {
	t.Helper()
	s, err := capture.OpenLive(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func filtered(t *testing.T, expr string) capture.Live {
	t.Helper()
	e, err := filter.Compile(expr)
	if err != nil {
		t.Fatal(err)
	}
	return capture.Live{Interfaces: []string{"lo"}, Filter: e.Kernel, Ring: 1 << 20}
}

// A frame is a record that stays.
type frame struct {
	capture.Record
	capture.Packet
	data []byte
}

// settled waits until all that was captured by now is handed out, whatever time
// that takes on a busy machine: the kernel holds a block back for some 50 ms.
func settled(t *testing.T, s *capture.LiveSource) {
	t.Helper()
	now := time.Now()
	for s.Idle().Before(now.Add(100 * time.Millisecond)) {
		if time.Since(now) > time.Minute {
			t.Errorf("the ring is not empty after %v", time.Since(now))
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// during reads records while f runs and until what came meanwhile is read.
func during(t *testing.T, s *capture.LiveSource, f func()) (frames []frame, lost uint64) {
	t.Helper()
	finished := make(chan struct{})
	go func() {
		f()
		settled(t, s)
		s.Close()
		close(finished)
	}()
	for {
		rec, err := s.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if rec.Loss != nil {
			lost += rec.Loss.Packets
			continue
		}
		frames = append(frames, frame{rec, *rec.Packet, slices.Clone(rec.Packet.Data)})
	}
	<-finished
	if _, err := s.Next(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
	return frames, lost
}

// ask runs a small HTTP exchange on loopback and returns the port; the
// answer's body is big enough for segmentation offload.
func server(t *testing.T) (port string, ask func()) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 16<<10)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	t.Cleanup(srv.Close)
	_, port, _ = net.SplitHostPort(srv.Listener.Addr().String())
	return port, func() {
		r, err := srv.Client().Get(srv.URL + "/only-once")
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(io.Discard, r.Body)
		r.Body.Close()
		srv.Client().CloseIdleConnections()
	}
}

func count(frames []frame, text string) (n int) {
	for _, f := range frames {
		if bytes.Contains(f.data, []byte(text)) {
			n++
		}
	}
	return n
}

// One exchange on loopback: each frame once, numbered, in order, whole.
func TestLiveLoopback(t *testing.T) {
	needRoot(t)
	for _, name := range []string{"lo", "any"} {
		t.Run(name, func(t *testing.T) {
			port, ask := server(t)
			cfg := filtered(t, "tcp port "+port)
			cfg.Interfaces = []string{name}
			s := openLive(t, cfg)
			frames, lost := during(t, s, ask)
			if n := count(frames, "GET /only-once"); n != 1 || lost != 0 {
				t.Errorf("the request stands in %d of %d frames, %d lost", n, len(frames), lost)
			}
			want, at := capture.LinkEthernet, 12
			if name == "any" {
				want, at = capture.LinkLinuxSLL2, 0
			}
			payload, last := 0, time.Time{}
			for i, f := range frames {
				if f.Num != i+1 || f.Link != want || f.Length != len(f.data) || f.Time.Before(last) || time.Since(f.Time) > time.Minute {
					t.Fatalf("frame %d: number %d, link type %d, %d of %d bytes, %v", i+1, f.Num, f.Link, len(f.data), f.Length, f.Time)
				}
				if binary.BigEndian.Uint16(f.data[at:]) != 0x0800 {
					t.Fatalf("frame %d: not IPv4: %x", i+1, f.data[:20])
				}
				payload, last = payload+len(f.data), f.Time
			}
			if payload < 256<<10 || len(frames) > 100 {
				t.Errorf("%d bytes in %d frames of a body of 256 KiB", payload, len(frames))
			}
			if st := s.Stats(); st.Packets < uint64(len(frames)) || st.Drops != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

func TestLiveFilterIsAttached(t *testing.T) {
	needRoot(t)
	port, ask := server(t)
	frames, _ := during(t, openLive(t, filtered(t, "not tcp port "+port)), ask)
	if n := count(frames, "GET /only-once"); n != 0 {
		t.Errorf("%d frames that the filter excludes", n)
	}
}

func TestLiveSnap(t *testing.T) {
	needRoot(t)
	port, ask := server(t)
	cfg := filtered(t, "port "+port)
	cfg.Snap = 60
	frames, _ := during(t, openLive(t, cfg), ask)
	long := 0
	for _, f := range frames {
		if len(f.data) > 60 || f.Length < len(f.data) {
			t.Errorf("%d of %d bytes", len(f.data), f.Length)
		}
		if f.Length > 1000 {
			long++
		}
	}
	if long == 0 {
		t.Errorf("no long frame among %d", len(frames))
	}
}

// udp is a connection on loopback to a port that is open, and is nobody else's.
func udp(t *testing.T) (conn net.Conn, port string) {
	t.Helper()
	sink, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sink.Close() })
	if conn, err = net.Dial("udp", sink.LocalAddr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, fmt.Sprint(sink.LocalAddr().(*net.UDPAddr).Port)
}

// A small ring that nobody empties loses packets, and says how many.
func TestLiveLossIsCounted(t *testing.T) {
	needRoot(t)
	conn, port := udp(t)
	cfg := filtered(t, "udp dst port "+port)
	cfg.Ring = 1
	s := openLive(t, cfg)
	const sent = 4000
	for range sent {
		if _, err := conn.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	frames, lost := during(t, s, func() {})
	if lost == 0 || len(frames) == 0 || uint64(len(frames))+lost != sent {
		t.Errorf("%d frames and %d lost of %d sent", len(frames), lost, sent)
	}
	if st := s.Stats(); st.Drops != lost || st.Freezes == 0 {
		t.Errorf("%+v with %d lost", st, lost)
	}
}

// What was lost is told at the latest before the packet behind it, with a time
// that is not before it, so that nothing is concluded from what is missing.
func TestLiveLossIsPlaced(t *testing.T) {
	needRoot(t)
	conn, port := udp(t)
	cfg := filtered(t, "udp dst port "+port)
	cfg.Ring = 1
	s := openLive(t, cfg)
	b := make([]byte, 1000)
	next := uint32(0)
	var sent []time.Time
	send := func(n int) {
		for range n {
			binary.BigEndian.PutUint32(b, next)
			now := time.Now()
			if _, err := conn.Write(b); err == nil {
				sent = append(sent, now)
				next++
			}
		}
	}
	send(1000)
	stop := time.AfterFunc(time.Minute, func() { s.Close() })
	defer stop.Stop()
	want, jumps := uint32(0), 0
	told, till := false, time.Time{}
	for got := 0; got < 5000; {
		r, err := s.Next()
		if err != nil {
			t.Fatalf("after %d packets: %v", got, err)
		}
		if r.Loss != nil {
			told, till = true, r.Time
			send(300) // of what was sent before there may be nothing left to read
			continue
		}
		if n := binary.BigEndian.Uint32(r.Packet.Data[42:]); n != want {
			jumps++
			if !told && till.Before(sent[n-1]) {
				t.Errorf("packet %d after %d, and nothing is said", n, want-1)
			}
			want = n
		}
		want++
		told = false
		if got++; got%50 == 0 {
			send(300) // more than is read: the ring is full time and again
		}
	}
	s.Close()
	for {
		if _, err := s.Next(); err != nil {
			break
		}
	}
	if jumps < 3 {
		t.Errorf("%d times something was lost", jumps)
	}
}

func TestLiveCloseUnblocks(t *testing.T) {
	needRoot(t)
	s := openLive(t, filtered(t, "port 1 and port 2"))
	ended := make(chan error)
	go func() {
		_, err := s.Next()
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-ended:
		if err != io.EOF {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("still waiting")
	}
	if err := s.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

func ip(args string) error {
	if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", args, err, out)
	}
	return nil
}

func namespace(t *testing.T) string {
	t.Helper()
	needRoot(t)
	name := fmt.Sprint("mcp401-capture-", os.Getpid()) // the same test may run elsewhere
	if err := ip("netns add " + name); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	if err := ip("-n " + name + " link set lo up"); err != nil {
		t.Fatal(err)
	}
	return name
}

// Sockets see the namespace they were opened in, and this process stays where
// it was.
func TestLiveNamespace(t *testing.T) {
	name := namespace(t)
	cfg := filtered(t, "icmp6 or udp")
	cfg.NetNS = name
	s := openLive(t, cfg)
	frames, _ := during(t, s, func() {
		exec.Command("ip", "netns", "exec", name, "bash", "-c", "echo inside >/dev/udp/127.0.0.1/9").Run()
		if c, err := net.Dial("udp", "127.0.0.1:9"); err == nil {
			c.Write([]byte("outside"))
			c.Close()
		}
	})
	if in, out := count(frames, "inside"), count(frames, "outside"); in != 1 || out != 0 {
		t.Errorf("%d frames from inside, %d from outside", in, out)
	}
}

// tagged is a UDP packet to port 9 in VLAN 3.
func tagged(text string) []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0, 0, 3, 8, 0,
		0x45, 0, 0, byte(28 + len(text)), 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2,
		0, 9, 0, 9, 0, byte(8 + len(text)), 0, 0}
	return append(b, text...)
}

// inject sends a frame from within a namespace.
func inject(t *testing.T, netns, name string, frame []byte) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		done <- func() error {
			ns, err := os.Open("/run/netns/" + netns)
			if err != nil {
				return err
			}
			defer ns.Close()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return err
			}
			fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			i, err := net.InterfaceByName(name)
			if err != nil {
				return err
			}
			return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: i.Index})
		}()
	}()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Tagged frames are whole again, a filter sees the tag that the kernel took,
// and an interface may go down, up, away and come back.
func TestLiveTagsAndInterfaces(t *testing.T) {
	name := namespace(t)
	add := func() error {
		for _, args := range []string{"link add v0 type veth peer name v1", "link set v0 up", "link set v1 up"} {
			if err := ip("-n " + name + " " + args); err != nil {
				return err
			}
		}
		return nil
	}
	send := func(text string) { inject(t, name, "v0", tagged(text)) }
	if err := add(); err != nil {
		t.Skip(err)
	}
	e, err := filter.Compile("vlan 3 and udp port 9")
	if err != nil {
		t.Fatal(err)
	}
	s := openLive(t, capture.Live{Interfaces: []string{"v0", "v1", "any"}, Filter: e.Kernel, NetNS: name, Ring: 1 << 20, Promiscuous: true})
	told := map[string][]string{}
	does := func(want string, err error) {
		if err != nil {
			t.Error(err)
		}
		got := ""
		for range 600 {
			for _, c := range s.Changes() {
				told[c.Interface] = append(told[c.Interface], c.State.String())
			}
			// Made anew they are down for a moment, which may be seen.
			if got = strings.ReplaceAll(fmt.Sprint(told), "gone down up", "gone up"); got == want {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
		t.Errorf("told %s, want %s", got, want)
	}
	frames, _ := during(t, s, func() {
		send("before")
		settled(t, s)
		does("map[v1:[down]]", ip("-n "+name+" link set v1 down"))
		does("map[v1:[down up]]", ip("-n "+name+" link set v1 up"))
		send("between")
		settled(t, s)
		does("map[v0:[gone] v1:[down up gone]]", ip("-n "+name+" link del v0"))
		does("map[v0:[gone up] v1:[down up gone up]]", add())
		send("after")
	})
	if more := s.Changes(); len(more) > 0 {
		t.Errorf("told then: %v", more)
	}
	for _, text := range []string{"before", "between", "after"} {
		seen := map[int]int{}
		for _, f := range frames {
			if !bytes.Contains(f.data, []byte(text)) {
				continue
			}
			seen[f.Interface]++
			at := 12
			if f.Link == capture.LinkLinuxSLL2 {
				at = 0
			}
			tag := at + 2
			if f.Link == capture.LinkLinuxSLL2 {
				tag = 20
			}
			if binary.BigEndian.Uint16(f.data[at:]) != 0x8100 || binary.BigEndian.Uint16(f.data[tag:]) != 3 || binary.BigEndian.Uint16(f.data[tag+2:]) != 0x0800 {
				t.Errorf("%s on %d: no tag: %x", text, f.Interface, f.data[:28])
			}
		}
		// Going out of v0 the tag is in the bytes, coming in on v1 it is beside
		// them. For a socket without link-layer headers kernels differ in where
		// the network header of the first begins, so one is enough there.
		if seen[0] != 1 || seen[1] != 1 || seen[2] < 1 {
			t.Errorf("%q was seen on v0, v1 and any: %v", text, seen)
		}
	}
}

func TestLiveErrors(t *testing.T) {
	needRoot(t)
	for want, cfg := range map[string]capture.Live{
		"nosuch0: no such interface":       {Interfaces: []string{"nosuch0"}},
		"network namespace nosuch: ":       {NetNS: "nosuch"},
		"network namespace 2147483647: no": {NetNS: "2147483647"},
		"network namespace /dev/null: ent": {NetNS: "/dev/null"},
	} {
		_, err := capture.OpenLive(cfg)
		var e *capture.Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Root is dropped in every thread, and what was opened stays open.
func TestDropPrivileges(t *testing.T) {
	needRoot(t)
	if err := capture.DropPrivileges(0, 0, nil); err == nil {
		t.Error("root is no ordinary user")
	}
	if os.Getenv("CAPTURE_DROP") == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestDropPrivileges$")
		cmd.Env = append(os.Environ(), "CAPTURE_DROP=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		return
	}
	port, ask := server(t)
	s := openLive(t, filtered(t, "tcp port "+port))
	if err := capture.DropPrivileges(65534, 65534, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := capture.OpenLive(capture.Live{}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("opened once more: %v", err)
	}
	if frames, _ := during(t, s, ask); count(frames, "GET /only-once") != 1 {
		t.Errorf("nothing seen in %d frames", len(frames))
	}
}
