package filter

import (
	"fmt"
	"slices"

	"golang.org/x/net/bpf"
)

// portsMost is how many ports TCP tests for; with more of them it takes all.
const portsMost = 128

// The ports of UDP that carry other packets, and 443, where QUIC goes, which is
// said of a capture although it is not read.
var carriers = []uint32{443, 2152, 3544, 4789, 4790, 5072, 6081, 8472}

// TCP is the expression for packets that are TCP from or to one of the ports,
// any TCP without ports, or that may carry it where no filter looks: every
// fragment, tunnels, further VLAN tags, extension headers; and ICMP, whose
// errors tell of connections that were refused. What is left out are plain UDP,
// ARP and the TCP of other ports.
func TCP(ports ...uint16) *Expr {
	list := slices.Compact(slices.Sorted(slices.Values(ports)))
	text := "tcp"
	if len(list) > portsMost {
		list = nil
	}
	var tcp node
	for i, p := range list {
		if i == 0 {
			text = fmt.Sprintf("tcp port %d", p)
		} else {
			text += fmt.Sprintf(" or %d", p)
		}
		tcp = or(tcp, portOf(protoTCP, uint32(p)))
	}
	if tcp == nil {
		tcp = either{both{network(0, etherIPv4), proto4(protoTCP)}, both{network(0, etherIPv6), proto6(protoTCP)}}
	}
	root := or(
		not{either{network(0, etherIPv4), either{network(0, etherIPv6), either{network(0, etherARP), network(0, etherRARP)}}}},
		both{network(0, etherIPv4), either{
			bytesAt(0, 6, 2, 0x3fff, bpf.JumpNotEqual, 0), // a fragment
			not{either{proto4(protoTCP), proto4(protoUDP)}},
		}},
		both{network(0, etherIPv6), not{either{proto6(protoTCP), proto6(protoUDP)}}},
		tcp,
	)
	for _, p := range carriers {
		root = or(root, portOf(protoUDP, p))
	}
	return &Expr{root, text}
}

func or(list ...node) node {
	var all node
	for _, n := range list {
		switch {
		case n == nil:
		case all == nil:
			all = n
		default:
			all = either{all, n}
		}
	}
	return all
}

func proto4(p uint32) node { return bytesAt(0, 9, 1, ^uint32(0), bpf.JumpEqual, p) }
func proto6(p uint32) node { return bytesAt(0, 6, 1, ^uint32(0), bpf.JumpEqual, p) }

func portOf(proto, port uint32) node { return ports(0, []uint32{proto}, srcOrDst, port, port) }
