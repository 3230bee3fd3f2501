// Package stack joins the decoders for one shard: from capture records to MCP
// exchanges, on one goroutine, so that the Go stack is the protocol stack.
package stack

import (
	"mcp401/capture"
	"mcp401/decode"
)

// A Config says how a Decoder works. Its zero value works.
type Config struct {
	Limits   decode.Limits
	Key      []byte // of the keyed hash that credentials are compared by; nil: a fixed key, for tests
	Shard    int    // this decoder keeps the flows of shard Shard of Shards
	Shards   int    // 0 and 1: all flows
	Messages bool   // also emit one Message for each HTTP message
}

// A Decoder turns the records of one capture into events.
type Decoder struct {
	cfg  Config
	emit func(Event)
}

// New returns a decoder. Events are given to emit during Record and Close, in
// the order of their Mark; emit may keep them.
func New(cfg Config, emit func(Event)) *Decoder { return &Decoder{cfg: cfg, emit: emit} }

// Record decodes one record. Nothing of it is kept.
func (d *Decoder) Record(r capture.Record) {}

// Close ends all connections: the capture is over.
func (d *Decoder) Close() {}
