// Package capture reads records from capture files: pcap, pcapng and HAR, each
// also compressed, from files and pipes, and merges several into one capture.
//
// It knows file formats and nothing of what the packets mean. The one trick:
// a file is recognised by its content, never by its name, and everything that
// can stand in a capture (a packet, a HAR entry, TLS secrets, a count of lost
// packets) is one Record with a place and a time.
package capture

import "time"

// A Record is one unit of a capture. Exactly one pointer field is set.
type Record struct {
	Num    int       // 1-based, as Wireshark numbers frames; a HAR entry's place in log.entries. Secret and Loss carry the number of the last frame before them, 0 at the start
	Time   time.Time // the capture's clock, the only clock there is; zero where the format gives none
	Packet *Packet   // link type, length on the wire, bytes
	Entry  *Entry    // HAR: request, response, timings
	Secret *Secret   // key log lines: a pcapng Decryption Secrets Block, or a key log being followed
	Loss   *Loss     // what the capture itself dropped before this point
}

// A Source yields the records of one capture in order.
type Source interface {
	Next() (Record, error) // its bytes are valid until the next call; io.EOF at the end
	Close() error          // unblocks a Next in progress
}

// A LinkType is a LINKTYPE_ value of the pcap link-layer header type registry.
type LinkType uint16

// The link types that can be decoded; the registry has many more.
const (
	LinkNull      LinkType = 0   // BSD loopback, address family in the writer's byte order
	LinkEthernet  LinkType = 1   // IEEE 802.3
	LinkPPP       LinkType = 9   // PPP, perhaps with HDLC-like framing
	LinkRaw       LinkType = 101 // IPv4 or IPv6 by the version nibble
	LinkLoop      LinkType = 108 // OpenBSD loopback, address family in network byte order
	LinkIEEE80211 LinkType = 105 // IEEE 802.11
	LinkLinuxSLL  LinkType = 113 // Linux cooked capture v1
	LinkRadiotap  LinkType = 127 // IEEE 802.11 with a radiotap header
	LinkPPI       LinkType = 192 // Per-Packet Information
	LinkIPv4      LinkType = 228 // raw IPv4
	LinkIPv6      LinkType = 229 // raw IPv6
	LinkNFLog     LinkType = 239 // Linux netfilter log
	LinkLinuxSLL2 LinkType = 276 // Linux cooked capture v2
)

// A Packet is what a capture holds of one packet.
type Packet struct {
	Link      LinkType
	Interface int    // number of the interface over all inputs, from 0
	Length    int    // bytes on the wire, at least len(Data)
	Data      []byte // bytes captured; belongs to the Source and is valid until its next call
}

// A Secret is a piece of a TLS key log in NSS format (RFC 9850): whole lines.
type Secret struct {
	Lines []byte // belongs to the Source and is valid until its next call
}

// A Loss says that the capturing side dropped packets. The count is what was
// lost since the last Loss of the same interface, never a running total; 0: they
// were counted in another one, when it was not known yet where they are missing.
type Loss struct {
	Packets   uint64
	Interface int
	Reason    string // "interface", "kernel", "damaged": who lost it
}

// An Entry is one HAR entry: a request and what came back. Its bodies are as
// HAR gives them: dechunked, decompressed, recoded to UTF-8. Strings and slices
// belong to the receiver.
type Entry struct {
	Creator string // log.creator.name, or empty when it stands after the entries
	Page    string // pageref

	Took time.Duration // from Record.Time to the last byte of the response; negative when unknown
	Wait time.Duration // from Record.Time to the first byte of the response; negative when unknown

	Server     string // serverIPAddress as given, without brackets; may be empty
	Connection string // any id; not always a port

	Method  string
	URL     string
	Proto   string // normalised: "1.0", "1.1", "2", "3" or "" when unknown
	Request []Field
	Body    *Body // nil: the request had none, or it was not recorded

	Preflight bool // a CORS preflight, told by the exporter or by its shape

	Status   int // 0: there was no response (blocked, aborted, refused); see Error
	Reason   string
	Response []Field
	Content  *Body  // nil: not recorded, which is not the same as empty
	Size     int64  // content.size as claimed; negative when unknown
	MIME     string // content.mimeType
	Redirect string
	Error    string // _error or _failureText: why there is no (whole) response
	Cached   bool   // answered by the browser's own cache

	Events []StreamEvent // _eventSourceMessages, where an exporter keeps them
}

// A Field is one header field as it stands in the file; HTTP/2 pseudo header
// fields (":path") are among them.
type Field struct{ Name, Value string }

// A Body is a recorded body after base64 was undone.
type Body struct {
	Data []byte
	MIME string
	Lost int64 // bytes beyond the reader's bound that were left out; 0: whole
}

// A StreamEvent is one server-sent event that an exporter kept beside the body.
type StreamEvent struct {
	Time          time.Time
	Name, ID      string
	Data          string
	DataWithdrawn bool // a sanitised export keeps the event and drops its data
}
