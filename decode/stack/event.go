package stack

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"mcp401/decode"
	"mcp401/decode/mcp"
)

// An Event is one thing that a shard found. Exactly one pointer field is set,
// but for a bare clock tick, which has none.
type Event struct {
	At         decode.Mark // when it was known; events of one shard come in this order, those apart that late secrets bring: see Sort
	Flow       int
	Exchange   *mcp.Exchange
	Connection *Connection
	Note       *decode.Note
	Message    *Message // only with Config.Messages
}

// Sort puts what all shards found in one record in an order that is the same
// for any number of shards: by flow; or, where the record was a Secret, by the
// marks that they would have had with the secret known from the start.
func Sort(found []Event, secret bool) {
	slices.SortStableFunc(found, func(a, b Event) int {
		if secret {
			if c := cmp.Or(a.At.Time.Compare(b.At.Time), cmp.Compare(a.At.Frame, b.At.Frame)); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.Flow, b.Flow)
	})
}

// A Connection is told when a TCP connection is over, or was never made; and
// before that, with How 0, when it turns out that it cannot be read, and at its
// first hole.
type Connection struct {
	Flow      decode.Flow
	How       decode.End
	Ended     decode.Mark
	Protocol  string // "http1", "http2", "tls", "unknown", "" when no byte was carried
	Exchanges int
	ToServer  int64 // payload bytes
	ToClient  int64
	Gaps      int   // holes in either direction
	Lost      int64 // bytes in them, as far as their size is known
	TLS       *TLS
}

// TLS is what a connection shows of itself without keys.
type TLS struct {
	ServerName    string
	ALPN          string
	Version       string // "1.2", "1.3", ...
	Suite         string
	Subject       string // common name of the server's certificate
	HandshakeDone bool
	Decrypted     bool
	Why           string // when not decrypted: a note code such as "tls/no-key"
	Alert         string // a fatal alert in clear text
	Shape         []Record
}

// A Record is the size and time of application data in one direction: the
// shape of a conversation that cannot be read.
type Record struct {
	Dir  decode.Dir
	At   decode.Mark
	Size int
}

// A Message is one HTTP message of any kind, as `mcp401 show --all` prints it.
type Message struct {
	Frame, EndFrame int
	Time            time.Time
	Src, Dst        netip.AddrPort
	Proto           string
	Stream          uint32 // 0: HTTP/1
	Request         bool
	Method, URI     string // URI redacted
	Status          int
	Cut             bool
}
