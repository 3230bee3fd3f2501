package inet

import "net/netip"

// TCP flags as they stand in the header (RFC 9293 section 3.1).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
)

// A Segment is one TCP segment, innermost where tunnels nest.
type Segment struct {
	Src, Dst netip.AddrPort // IPv4-mapped addresses are unmapped
	Path     uint64         // hash of the VLAN tags and tunnels it came through: equal addresses on other paths are other flows; 0: none
	Seq, Ack uint32
	Window   uint16 // as sent, not scaled
	Urgent   uint16 // urgent pointer, 0 without URG
	Flags    uint8
	Payload  []byte // bytes captured, Ethernet padding cut off; belongs to the capture.Record
	Missing  int    // payload bytes on the wire behind Payload that the snap length cut off
}
