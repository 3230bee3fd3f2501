// Package hop joins the two hops: who is the gateway, and which upstream
// attempts a downstream call caused.
package hop

import (
	"net/netip"
	"time"

	"mcp401/decode"
	"mcp401/decode/stack"
)

// A Config says what is known beforehand. Its zero value works.
type Config struct {
	Limits    decode.Limits
	Gateways  []netip.AddrPort  // named by the user; a zero address means any address with that port
	Upstreams []netip.AddrPort  // likewise
	Names     map[string]Server // server names of a gateway's configuration file, by name
}

// A Server is what a configuration file says of one upstream.
type Server struct {
	URL          string
	Alias        string
	Transport    string // "http", "sse", "stdio"
	ExtraHeaders []string
	Stored       bool // the gateway holds a credential for it
}

// A Linker turns the events of all shards into cases.
type Linker struct{ emit func(*Case) }

// NewLinker returns a linker that gives each case to emit once, when it is
// decided: Limits.Lateness after its answer, on the capture's clock.
func NewLinker(cfg Config, emit func(*Case)) *Linker { return &Linker{emit: emit} }

// Event takes the next event, in order of its Mark.
func (l *Linker) Event(e stack.Event) {}

// Tick says what time it is when no event does.
func (l *Linker) Tick(now time.Time) {}

// Close decides what is still open: the capture is over.
func (l *Linker) Close() {}
