package capture

import "golang.org/x/net/bpf"

// A Live says what to capture from the machine's own interfaces. Its zero
// value takes every packet of every interface.
type Live struct {
	Interfaces  []string // names; "any" is all of them in one socket. None: "any"
	Snap        int      // bytes of a packet to keep. 256 KiB: segmentation offload makes frames of 64 KiB, BIG TCP of more
	Ring        int      // bytes of the ring of each socket. 32 MiB: 0.25 s of a full 1 Gbit/s link
	Promiscuous bool     // also frames that are for other machines; not with "any"
	NetNS       string   // the network namespace: a name of ip netns, a process id or a path; empty: this process's own

	// Filter returns the classic BPF program for a socket, nil for all packets.
	// The link type is Ethernet for frames with their header, where the
	// outermost VLAN tag is beside the bytes, and Linux cooked v2 for packets
	// without, where the program sees the network header first.
	Filter func(LinkType) ([]bpf.RawInstruction, error)
}

// LiveStats is what the kernel counted since the sockets were opened.
type LiveStats struct {
	Packets uint64 // that passed the filter, dropped ones included
	Drops   uint64 // for which the ring had no room; also delivered as Loss records
	Freezes uint64 // how often the ring was full
}

// A Change is that an interface is not there, or is there again.
type Change struct {
	Interface string
	State     InterfaceState
}

// An InterfaceState is what can be captured on an interface.
type InterfaceState uint8

// The states.
const (
	Up   InterfaceState = iota
	Down                // it is there and carries nothing
	Gone                // there is none of that name; it is looked for
)

func (s InterfaceState) String() string { return [...]string{"up", "down", "gone"}[s] }
