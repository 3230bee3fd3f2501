// Package decode holds the words that all decoders share: where and when a
// byte was captured, which connection it belongs to, how a decoder is fed and
// what bounds it.
//
// Everything below this folder is sans-IO: bytes go in, events come out, and
// time is an argument. The three verbs Data, Gap and End carry all of it.
package decode

import (
	"net/netip"
	"time"
)

// A Mark says when and where something was captured.
type Mark struct {
	Frame int       // as Wireshark numbers frames, from 1
	Time  time.Time // the capture's clock
}

// A Dir is a direction of a connection.
type Dir uint8

// The directions. The client is the side that opened the connection.
const (
	ToServer Dir = iota
	ToClient
)

// Other is the opposite direction.
func (d Dir) Other() Dir { return d ^ 1 }

func (d Dir) String() string {
	if d == ToServer {
		return "to-server"
	}
	return "to-client"
}

// A Flow names one connection. First alone is unique within a capture.
type Flow struct {
	First          int       // frame of its first packet
	Start          time.Time // time of its first packet
	Client, Server netip.AddrPort
	Mid            bool   // the capture began after the connection did
	Print          uint64 // equal where one connection was captured twice, under whatever addresses: a hash of its sequence numbers and first bytes; 0: unknown
}

// An End says how one direction of a connection, or all of it, ended.
type End uint8

// The ends.
const (
	Fin        End = iota + 1 // this direction was closed in order
	Reset                     // the connection was reset, by either side: both directions are over
	Refused                   // the SYN was answered by a RST (or an ICMP error): nothing was ever exchanged
	Unanswered                // SYNs were never answered
	Timeout                   // nothing came for Limits.Idle on the capture's clock
	Evicted                   // given up to stay within Limits.Flows or Limits.Buffered
	Cut                       // the capture ended
)

var ends = [...]string{"", "fin", "reset", "refused", "unanswered", "timeout", "evicted", "cut"}

func (e End) String() string {
	if int(e) < len(ends) {
		return ends[e]
	}
	return "unknown"
}

// A Conn decodes one connection from the bytes it carried.
//
// Within a direction bytes arrive in order, each once; the two directions
// interleave in any way. A Conn keeps nothing of p after Data returns, starts
// no goroutine, reads no clock, and never fails: what is wrong with the bytes
// it reports as a Note. After End of a direction nothing more comes in it. An
// End other than Fin is told for both directions.
type Conn interface {
	Data(d Dir, at Mark, p []byte)
	Gap(d Dir, at Mark, n int) // n bytes were never captured; n < 0: nobody knows how many
	End(d Dir, at Mark, why End)
}

// A Verdict is what a protocol's Sniff says of the first bytes of a connection.
type Verdict uint8

// The verdicts of a Sniff.
const (
	More Verdict = iota // too few bytes to tell
	Yes
	No
)

// A Note says that something in the capture was damaged, unknown or beyond a
// bound. Its Code is stable ("http1/bad-chunk-size", "limit/body"); the text is
// for people and holds no byte of a message.
type Note struct {
	Code  string
	At    Mark
	Flow  int    // First of the flow, 0 where it concerns none
	About string // the host name that it concerns, where there is one; notes are counted for each
	N     int    // bytes, packets or whatever Text counts; 0 where nothing is counted
	Text  string // one line, lower case, no period
}
