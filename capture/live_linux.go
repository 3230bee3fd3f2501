package capture

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// A block of the ring is handed over when it is full or this old: up to twice
	// as old and two ticks of the kernel's clock, as its timer goes. With 128
	// blocks, on a wire that is not busy, 2.5 s may pass before one is emptied.
	liveRetire = 20 * time.Millisecond
	// How often the kernel is asked for its counters and its interfaces.
	liveCheck = time.Second
	// On a quiet wire Idle is so old at most.
	liveIdle = 50 * time.Millisecond
	// With several sockets a packet waits so long for an earlier one: longer than
	// a block is held back on a busy machine, and less than the default ring takes
	// at 1 Gbit/s.
	liveHold = 4 * liveRetire
	// At most so many packets between two looks at the clock.
	liveStride = 4096

	defaultSnap = 256 << 10
	defaultRing = 32 << 20
	anyName     = "any"
)

var errInterface = errors.New("no such interface")

// A LiveSource reads packets from packet sockets (packet(7), TPACKET_V3). One
// goroutine calls Next; Close and Stats may be called from any.
//
// There is no goroutine behind it: Next waits in poll(2) for the rings and for
// Close, and hands out the bytes where the kernel put them.
type LiveSource struct {
	rings []*ring
	probe int // a socket that sees nothing, to ask for interfaces in their namespace
	wake  int // an eventfd
	polls []unix.PollFd

	num     int
	last    *ring // the ring of the packet that was handed out last
	packet  Packet
	loss    Loss
	losses  []lossAt // to be handed out
	checked time.Time
	since   int // packets since the clock was looked at

	mu      sync.Mutex // held by Close, by the release of the sockets, and for changes
	changes []Change
	closed  atomic.Bool
	done    bool // everything is released
	stats   struct{ packets, drops, freezes atomic.Uint64 }
	began   time.Time
	idle    atomic.Int64 // since began
}

// OpenLive opens the sockets, which needs CAP_NET_RAW, and CAP_SYS_ADMIN to
// enter a network namespace. Nothing later does: see [DropPrivileges]. The
// error is an *[Error].
func OpenLive(cfg Live) (*LiveSource, error) {
	if len(cfg.Interfaces) == 0 {
		cfg.Interfaces = []string{anyName}
	}
	if cfg.Snap <= 0 {
		cfg.Snap = defaultSnap
	}
	if cfg.Ring <= 0 {
		cfg.Ring = defaultRing
	}
	s := &LiveSource{probe: -1, wake: -1, checked: time.Now(), began: time.Now()}
	err := inNamespace(cfg.NetNS, func() error { return s.open(cfg) })
	if err != nil {
		s.release()
		return nil, err
	}
	return s, nil
}

func (s *LiveSource) open(cfg Live) (err error) {
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return liveError("live", "opening", err)
	}
	if s.probe, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return liveError("live", "opening a packet socket", err)
	}
	s.polls = []unix.PollFd{{Fd: int32(s.wake), Events: unix.POLLIN}}
	for i, name := range cfg.Interfaces {
		r := &ring{name: name, number: i, fd: -1, promiscuous: cfg.Promiscuous && name != anyName}
		s.rings = append(s.rings, r)
		if err := r.open(s.probe, cfg); err != nil {
			return err
		}
		s.polls = append(s.polls, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN})
		s.look(r)
	}
	return nil
}

// Next waits for the next packet or loss.
func (s *LiveSource) Next() (Record, error) {
	if s.last != nil {
		s.last.step()
		s.last = nil
	}
	for {
		if s.closed.Load() {
			return s.ending()
		}
		if s.since++; s.since > liveStride {
			s.since = 0
			s.check(false)
		}
		if len(s.losses) > 0 {
			return s.nextLoss(), nil
		}
		r, wait := s.earliest()
		switch {
		case r != nil && r.lossy:
			s.lost(r)
			return s.nextLoss(), nil
		case r != nil:
			return s.deliver(r), nil
		}
		now := time.Since(s.began)
		if !slices.ContainsFunc(s.rings, (*ring).ready) {
			s.idle.Store(int64(now))
		}
		if err := s.wait(wait); err != nil {
			return Record{}, err
		}
	}
}

// earliest picks the ring whose next packet is the oldest. Where another ring
// has nothing to show yet it may still hold an older one in a block that is
// not handed over: then the packet waits.
func (s *LiveSource) earliest() (*ring, time.Duration) {
	var first *ring
	empty := false
	for _, r := range s.rings {
		switch {
		case !r.ready():
			empty = true
		case first == nil || r.time().Before(first.time()):
			first = r
		}
	}
	if first == nil {
		return nil, liveIdle
	}
	if empty {
		// A clock that was set back makes the age negative: then nothing waits.
		if age := time.Since(first.time()); age >= 0 && age < liveHold {
			return nil, liveHold - age
		}
	}
	return first, 0
}

func (s *LiveSource) deliver(r *ring) Record {
	s.num++
	s.last = r
	at := r.time()
	r.packet(&s.packet)
	return Record{Num: s.num, Time: at, Packet: &s.packet}
}

func (s *LiveSource) nextLoss() Record {
	at := s.losses[0]
	s.losses = s.losses[1:]
	s.loss = at.Loss
	return Record{Num: s.num, Time: at.time, Loss: &s.loss}
}

// A lossAt is a loss and when it was over, at the latest.
type lossAt struct {
	Loss
	time time.Time
}

// lost says that packets are missing before the current one of a ring. Those
// that were counted meanwhile may be missing behind it: the loss lasts until now.
func (s *LiveSource) lost(r *ring) {
	r.lossy = false
	n := len(s.losses)
	s.check(true)
	if len(s.losses) == n { // they were counted before
		s.losses = append(s.losses, lossAt{Loss{Interface: r.number, Reason: "kernel"}, r.time()})
	}
}

// wait polls until a block is handed over, Close is called or the time is up.
func (s *LiveSource) wait(limit time.Duration) error {
	_, err := unix.Poll(s.polls, max(int(limit/time.Millisecond), 1))
	if err != nil && err != unix.EINTR {
		return liveError("live", "waiting for packets", err)
	}
	for i, r := range s.rings {
		// An interface that goes down is an error of the socket, said once;
		// the socket sees packets again when the interface is up.
		if s.polls[i+1].Revents&unix.POLLERR != 0 {
			if _, err := unix.GetsockoptInt(r.fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil {
				return liveError(r.name, "capturing", err)
			}
		}
	}
	s.check(false)
	return nil
}

// check asks for the counters, which restarts them, and looks for interfaces
// that were taken away and have come back.
func (s *LiveSource) check(force bool) {
	now := time.Now()
	if age := now.Sub(s.checked); age < liveCheck && !force {
		return
	}
	s.checked = now
	for _, r := range s.rings {
		st, err := unix.GetsockoptTpacketStatsV3(r.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
		if err != nil {
			continue
		}
		s.stats.packets.Add(uint64(st.Packets))
		s.stats.drops.Add(uint64(st.Drops))
		s.stats.freezes.Add(uint64(st.Freeze_q_cnt))
		if st.Drops > 0 {
			s.losses = append(s.losses, lossAt{Loss{Packets: uint64(st.Drops), Interface: r.number, Reason: "kernel"}, now})
		}
		r.rebind(s.probe)
		s.look(r)
	}
}

// changesMost is how many changes are kept for who asks for them.
const changesMost = 1024

// look finds out whether an interface came or went.
func (s *LiveSource) look(r *ring) {
	now := r.state(s.probe)
	if now == r.was {
		return
	}
	r.was = now
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.changes) < changesMost {
		s.changes = append(s.changes, Change{r.name, now})
	}
}

// Changes returns what became of the interfaces since it was asked last: it is
// found within a second. An interface that is down at the beginning is told
// first.
func (s *LiveSource) Changes() []Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.changes
	s.changes = nil
	return list
}

// ending hands out the last losses, frees everything, and is io.EOF.
func (s *LiveSource) ending() (Record, error) {
	if s.done {
		return Record{}, io.EOF
	}
	if len(s.losses) == 0 {
		s.check(true)
	}
	if len(s.losses) > 0 {
		return s.nextLoss(), nil
	}
	s.release()
	return Record{}, io.EOF
}

// Close ends the capture: a Next that waits, and every later one, returns what
// is left to say of lost packets and then io.EOF. The rings are freed by that
// Next and not before, because the packet handed out last lies in one.
func (s *LiveSource) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed.Swap(true) || s.done {
		return nil
	}
	_, err := unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	return err
}

// Stats returns what the kernel counted, at most about a second old.
func (s *LiveSource) Stats() LiveStats {
	return LiveStats{s.stats.packets.Load(), s.stats.drops.Load(), s.stats.freezes.Load()}
}

// Idle returns when it was last seen that Next had handed out everything that
// the kernel had: a packet that came before then, but for the last 20 ms, was
// handed out.
func (s *LiveSource) Idle() time.Time { return s.began.Add(time.Duration(s.idle.Load())) }

func (s *LiveSource) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	for _, r := range s.rings {
		r.release()
	}
	for _, fd := range []int{s.probe, s.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// inNamespace calls f with this thread in a network namespace. Sockets stay in
// the namespace that they were opened in.
func inNamespace(name string, f func() error) error {
	if name == "" {
		return f()
	}
	target, err := os.Open(namespacePath(name))
	if err != nil {
		e := systemError("network namespace "+name, err)
		e.Hint = "a name that ip netns list shows, or the id of a process in it"
		return e
	}
	defer target.Close()
	runtime.LockOSThread()
	home, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return liveError("network namespace "+name, "entering", err)
	}
	defer home.Close()
	if err := unix.Setns(int(target.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return liveError("network namespace "+name, "entering", err)
	}
	err = f()
	if back := unix.Setns(int(home.Fd()), unix.CLONE_NEWNET); back != nil {
		// The thread stays locked: no other goroutine may run in the wrong namespace.
		return errors.Join(err, liveError("network namespace "+name, "leaving", back))
	}
	runtime.UnlockOSThread()
	return err
}

func namespacePath(name string) string {
	if _, err := strconv.ParseUint(name, 10, 31); err == nil {
		return "/proc/" + name + "/ns/net"
	}
	if strings.Contains(name, "/") {
		return name
	}
	return filepath.Join("/run/netns", name)
}

func liveError(name, doing string, err error) *Error {
	e := &Error{Name: name, Text: doing + ": " + err.Error(), Err: err}
	switch {
	case errors.Is(err, os.ErrPermission):
		e.Hint = "run it as root, or once: sudo setcap cap_net_raw+ep $(command -v mcp401)"
	case errors.Is(err, unix.ENOMEM):
		e.Hint = "ask for a smaller ring"
	case errors.Is(err, unix.ENODEV):
		e.Text, e.Err = errInterface.Error(), errInterface
		e.Hint = "ip link lists the interfaces; any is all of them"
	}
	return e
}

// limited makes a program keep at most snap bytes of a packet; an empty one
// keeps them of every packet.
func limited(program []bpf.RawInstruction, snap int) []bpf.RawInstruction {
	const retConstant = 0x06
	if len(program) == 0 {
		return []bpf.RawInstruction{{Op: retConstant, K: uint32(snap)}}
	}
	out := append([]bpf.RawInstruction(nil), program...)
	for i := range out {
		if out[i].Op == retConstant {
			out[i].K = min(out[i].K, uint32(snap))
		}
	}
	return out
}

// oneLoopback puts before a program what drops the first of the two copies of
// each packet that a loopback device shows: the one going out.
func oneLoopback(program []bpf.RawInstruction) ([]bpf.RawInstruction, error) {
	head, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLinkLayerType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.ARPHRD_LOOPBACK, SkipTrue: 3},
		bpf.LoadExtension{Num: bpf.ExtType},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 1},
		bpf.RetConstant{},
	})
	return append(head, program...), err
}
