// Package httpmsg is HTTP as events, whatever its version: the words in which
// HTTP/1, HTTP/2 and HAR meet, and the content codings of RFC 9110 section 8.4.
//
// An exchange is a request and its responses. Its events come in the order of
// the bytes within each direction: Head, any number of Body, then Done; or Cut
// where the message is not whole in the capture. Interim (1xx) responses have
// a Head with Interim set and nothing else.
package httpmsg

import (
	"strings"

	"mcp401/decode"
)

// An ID names one exchange within a capture.
type ID struct {
	Flow   int    // First of the connection's decode.Flow
	Stream uint32 // HTTP/2: the stream; HTTP/1: the place of the exchange on its connection, from 1; HAR: 1
}

// A Kind says what an Event is.
type Kind uint8

// The kinds of events.
const (
	Head Kind = iota + 1 // start line and header fields
	Body                 // a piece of content, transfer coding undone, content coding not
	Hole                 // bytes of the content were never captured; the message goes on
	Done                 // the message is whole
	Cut                  // the message ended early: by a hole, by the connection, or by the capture
)

// An Event is one step of one message. Header and Data are valid until emit
// returns.
type Event struct {
	Kind Kind
	ID   ID
	Dir  decode.Dir  // ToServer: of the request
	At   decode.Mark // the byte that completed this event
	From decode.Mark // Head only: the first byte of the message

	Proto     string // Head only: "1.0", "1.1" or "2"
	Method    string // Head of a request. A response carries its request's method here where that is known, for HEAD and CONNECT
	Target    string // Head of a request: the request target as sent; ":path" in HTTP/2
	Authority string // Head of a request: Host or ":authority"
	Scheme    string // Head of a request: ":scheme"; "https" under TLS, else "http"
	Status    int    // Head of a response; 0: it was sent and could not be read (HPACK state unknown)
	Interim   bool   // Head of a 1xx response that another one follows
	Decoded   bool   // Head only: content codings are undone already (HAR)
	Header    Header // Head only

	Data []byte     // Body only
	N    int        // Hole: bytes missing, negative when nobody knows
	Why  decode.End // Cut only: what ended it; 0: a hole in the capture hid the rest, or bytes that are not HTTP or beyond a bound

	Absent  bool   // Done only: the content was not recorded (HAR); without it a message without Body has none
	Aborted bool   // Cut of a response only: the client gave it up, and kept the connection (HTTP/2)
	Error   string // Cut of a response only: why there is none, in the recorder's words (HAR); not redacted
}

// A Header is the header fields of a message in the order they were sent.
type Header []Field

// A Field is one header field. Both slices are valid until emit returns. The
// name is as sent; compare it with Is.
type Field struct{ Name, Value []byte }

// Is reports whether the field has that name (lower case ASCII), in any case.
func (f Field) Is(name string) bool {
	if len(f.Name) != len(name) {
		return false
	}
	for i := 0; i < len(name); i++ {
		c := f.Name[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}

// Get returns the first value of the field with that name (lower case), and
// whether there is one. The string is a copy.
func (h Header) Get(name string) (string, bool) {
	for _, f := range h {
		if f.Is(name) {
			return string(f.Value), true
		}
	}
	return "", false
}

// MediaType returns the lower-case essence of a Content-Type: no parameters.
func MediaType(v string) string {
	if i := strings.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	return strings.ToLower(strings.TrimSpace(v))
}
