package capture

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is one packet socket and the memory that it shares with the kernel
// (Documentation/networking/packet_mmap.rst): blocks, each with packets one
// after another, which belong to the kernel or to us by a word in their head.
type ring struct {
	name        string
	number      int
	fd          int
	index       int // of the interface, 0 for all
	link        LinkType
	promiscuous bool
	was         InterfaceState

	mem    []byte
	size   int    // of a block
	at     int    // the current block
	ours   bool   // it is ours
	lossy  bool   // packets were dropped before the current one, perhaps, and that was not said yet
	left   uint32 // packets in it that were not handed out, the current one included
	offset int    // of the current packet in mem
}

const (
	// Room before a packet for what is written there: a VLAN tag and a cooked
	// header.
	ringReserve = 32
	// A block has to hold the largest frame that is to be kept whole. It is not
	// larger than that because a block is spent every liveRetire, however little
	// is in it: the number of blocks is how long nobody need empty the ring.
	ringBlock = 256 << 10
	// What stands before the packet in a block, generously.
	ringHead = 256

	blockHead = 8 // of unix.TpacketBlockDesc: what stands before its header
	addrAt    = int(unsafe.Sizeof(unix.Tpacket3Hdr{}))
	cooked    = 20 // LINKTYPE_LINUX_SLL2
)

func (r *ring) open(probe int, cfg Live) error {
	kind, err := r.find(probe)
	if err != nil {
		return liveError(r.name, "looking for it", err)
	}
	socket := unix.SOCK_DGRAM
	r.link = LinkLinuxSLL2
	if kind == unix.ARPHRD_ETHER || kind == unix.ARPHRD_LOOPBACK {
		socket, r.link = unix.SOCK_RAW, LinkEthernet
	}
	// Protocol 0 receives nothing: the filter is there before the first packet.
	if r.fd, err = unix.Socket(unix.AF_PACKET, socket|unix.SOCK_CLOEXEC, 0); err != nil {
		return liveError(r.name, "opening a packet socket", err)
	}
	if err := r.filter(cfg, kind); err != nil {
		return err
	}
	if err := r.share(cfg); err != nil {
		return liveError(r.name, "making the ring", err)
	}
	if err := r.bind(); err != nil {
		return liveError(r.name, "binding", err)
	}
	return nil
}

// find learns the index and the kind (ARPHRD_) of the interface, in the
// namespace of the probing socket.
func (r *ring) find(probe int) (kind int, err error) {
	if r.name == anyName {
		return -1, nil
	}
	req, err := unix.NewIfreq(r.name)
	if err != nil {
		return 0, unix.ENODEV
	}
	if err := unix.IoctlIfreq(probe, unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	r.index = int(req.Uint32())
	req, _ = unix.NewIfreq(r.name)
	if err := unix.IoctlIfreq(probe, unix.SIOCGIFHWADDR, req); err != nil {
		return 0, err
	}
	return int(req.Uint16()), nil
}

// state looks whether the interface is there and up.
func (r *ring) state(probe int) InterfaceState {
	if r.name == anyName {
		return Up
	}
	req, err := unix.NewIfreq(r.name)
	if err != nil || unix.IoctlIfreq(probe, unix.SIOCGIFFLAGS, req) != nil {
		return Gone
	}
	if req.Uint16()&unix.IFF_UP == 0 {
		return Down
	}
	return Up
}

func (r *ring) filter(cfg Live, kind int) error {
	program := limited(nil, cfg.Snap)
	if cfg.Filter != nil {
		own, err := cfg.Filter(r.link)
		if err != nil {
			return &Error{Name: r.name, Text: err.Error(), Err: err}
		}
		program = limited(own, cfg.Snap)
	}
	switch {
	case kind == unix.ARPHRD_LOOPBACK:
		if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err == nil {
			break
		}
		fallthrough // a kernel before 4.20
	case r.index == 0:
		var err error
		if program, err = oneLoopback(program); err != nil {
			return &Error{Name: r.name, Text: err.Error(), Err: err}
		}
	}
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0]))}
	if err := unix.SetsockoptSockFprog(r.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &prog); err != nil {
		return liveError(r.name, "attaching the filter", err)
	}
	return nil
}

// share sets up the ring and maps it.
func (r *ring) share(cfg Live) error {
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(r.fd, unix.SOL_PACKET, unix.PACKET_RESERVE, ringReserve); err != nil {
		return err
	}
	var blocks int
	r.size, blocks = geometry(cfg.Ring, cfg.Snap)
	req := unix.TpacketReq3{
		Block_size:     uint32(r.size),
		Block_nr:       uint32(blocks),
		Frame_size:     2048, // TPACKET_V3 packs frames of any size; this need only divide
		Frame_nr:       uint32(r.size / 2048 * blocks),
		Retire_blk_tov: uint32(liveRetire / time.Millisecond),
	}
	if err := unix.SetsockoptTpacketReq3(r.fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return err
	}
	var err error
	r.mem, err = unix.Mmap(r.fd, 0, r.size*blocks, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	return err
}

// geometry divides a ring into at least two blocks, each a power of two pages
// and able to hold the largest frame to be kept, of which 64 KiB is usual and
// what BIG TCP makes of it fits in the default block.
func geometry(size, snap int) (block, blocks int) {
	need := max(min(snap, 64<<10)+ringHead, unix.Getpagesize())
	block = 1 << bits.Len(uint(max(need, min(size/4, ringBlock))-1))
	return block, max(size/block, 2)
}

func (r *ring) bind() error {
	const all = unix.ETH_P_ALL<<8&0xff00 | unix.ETH_P_ALL>>8
	protocol := uint16(all)
	if binary.NativeEndian.Uint16([]byte{0, 1}) == 1 {
		protocol = unix.ETH_P_ALL
	}
	if err := unix.Bind(r.fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: r.index}); err != nil {
		return err
	}
	if !r.promiscuous {
		return nil
	}
	member := unix.PacketMreq{Ifindex: int32(r.index), Type: unix.PACKET_MR_PROMISC}
	return unix.SetsockoptPacketMreq(r.fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member)
}

// rebind finds the interface again after it was deleted and made anew; the
// socket stays the same, which needs no privileges.
func (r *ring) rebind(probe int) {
	before := r.index
	if _, err := r.find(probe); err == nil && r.index != before {
		if r.bind() != nil {
			r.index = before // not up to it yet: again in a second
		}
	}
}

func (r *ring) block() *unix.TpacketHdrV1 {
	return (*unix.TpacketHdrV1)(unsafe.Pointer(&r.mem[r.at*r.size+blockHead]))
}

// ready says whether there is a current packet.
func (r *ring) ready() bool {
	for !r.ours {
		b := r.block()
		status := atomic.LoadUint32(&b.Block_status)
		if status&unix.TP_STATUS_USER == 0 {
			return false
		}
		// Set where packets were dropped since the counters were read, which is
		// while there is no block for them: before the first packet of this one,
		// or of one before it.
		r.lossy = r.lossy || status&unix.TP_STATUS_LOSING != 0
		r.ours, r.left = true, b.Num_pkts
		r.offset = r.at*r.size + int(b.Offset_to_first_pkt)
		if r.left == 0 {
			r.giveBack() // retired by time before anything came
		}
	}
	return true
}

// giveBack lets the kernel have the block again.
func (r *ring) giveBack() {
	atomic.StoreUint32(&r.block().Block_status, unix.TP_STATUS_KERNEL)
	r.ours = false
	r.at = (r.at + 1) % (len(r.mem) / r.size)
}

// step leaves the current packet.
func (r *ring) step() {
	if r.left--; r.left == 0 {
		r.giveBack()
		return
	}
	r.offset += int(r.head().Next_offset)
}

func (r *ring) head() *unix.Tpacket3Hdr {
	return (*unix.Tpacket3Hdr)(unsafe.Pointer(&r.mem[r.offset]))
}

func (r *ring) time() time.Time {
	h := r.head()
	return time.Unix(int64(h.Sec), int64(h.Nsec))
}

// packet describes the current packet. What the kernel took out of the frame,
// a VLAN tag, or keeps beside it, the sender of a packet without a link-layer
// header, is written into the room before it.
func (r *ring) packet(p *Packet) {
	h := r.head()
	start := r.offset + int(h.Mac)
	end := start + int(h.Snaplen)
	extra := 0
	tpid := uint16(0)
	if h.Status&unix.TP_STATUS_VLAN_VALID != 0 {
		tpid = unix.ETH_P_8021Q
		if h.Status&unix.TP_STATUS_VLAN_TPID_VALID != 0 {
			tpid = h.Hv1.Vlan_tpid
		}
	}
	switch {
	case r.link == LinkLinuxSLL2:
		extra = r.cook(start, tpid, uint16(h.Hv1.Vlan_tci))
	case tpid != 0 && h.Snaplen >= 12:
		extra = 4
		b := r.mem[start-extra : end]
		copy(b[:12], b[4:16])
		binary.BigEndian.PutUint16(b[12:], tpid)
		binary.BigEndian.PutUint16(b[14:], uint16(h.Hv1.Vlan_tci))
	}
	*p = Packet{
		Link:      r.link,
		Interface: r.number,
		Length:    max(int(h.Len), int(h.Snaplen)) + extra,
		Data:      r.mem[start-extra : end : end],
	}
}

// cook writes a Linux cooked v2 header, with a VLAN tag behind it if there is
// one, and returns its length.
func (r *ring) cook(start int, tpid, tci uint16) int {
	a := (*unix.RawSockaddrLinklayer)(unsafe.Pointer(&r.mem[r.offset+addrAt]))
	proto := (*[2]byte)(unsafe.Pointer(&a.Protocol)) // in network order
	n := cooked
	if tpid != 0 {
		n += 4
	}
	b := r.mem[start-n : start]
	copy(b, proto[:])
	if tpid != 0 {
		binary.BigEndian.PutUint16(b, tpid)
		binary.BigEndian.PutUint16(b[cooked:], tci)
		copy(b[cooked+2:], proto[:])
	}
	b[2], b[3] = 0, 0
	binary.BigEndian.PutUint32(b[4:], uint32(a.Ifindex))
	binary.BigEndian.PutUint16(b[8:], a.Hatype)
	b[10], b[11] = a.Pkttype, a.Halen
	copy(b[12:cooked], a.Addr[:])
	return n
}

func (r *ring) release() {
	if r.mem != nil {
		unix.Munmap(r.mem)
		r.mem = nil
	}
	if r.fd >= 0 {
		unix.Close(r.fd)
		r.fd = -1
	}
}
