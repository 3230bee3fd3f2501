package hop

import (
	"maps"
	"net/netip"

	"mcp401/decode"
	"mcp401/decode/stack"
)

// An opaque connection cannot be read: TLS without keys, or holes only.
type opaque struct {
	server   netip.AddrPort
	host     netip.Addr
	from, to instant
	open     bool
	tls      bool
	name     string // the server name that the client asked for
	asked    int    // times the client spoke after the server had: requests, as far as sizes tell
	answered int    // bytes of application data to the client
}

// unreadable remembers a connection that cannot be read: when it turns out,
// and again with all that it shows when it is over.
func (l *Linker) unreadable(k *stack.Connection) {
	f := &k.Flow
	o := opaque{server: f.Server, host: f.Client.Addr(), from: instantOf(f.Start), to: instantOf(k.Ended.Time), open: k.How == 0}
	if k.TLS != nil {
		o.tls, o.name = true, k.TLS.ServerName
		last := decode.ToClient
		for _, r := range k.TLS.Shape {
			if r.Dir == decode.ToServer && last == decode.ToClient {
				o.asked++
			}
			if last = r.Dir; r.Dir == decode.ToClient {
				o.answered += r.Size
			}
		}
	}
	if len(l.opaque) >= l.lim.Attempts {
		maps.DeleteFunc(l.opaque, func(_ int, o opaque) bool { return !o.open })
		if len(l.opaque) > l.lim.Attempts/2 {
			clear(l.opaque) // a search at each new one would cost its square
		}
	}
	l.opaque[f.First] = o
}

// readable takes that a connection can be read after all: its keys came.
func (l *Linker) readable(flow int) { delete(l.opaque, flow) }

// A Shape is what the sizes of a conversation that cannot be read agree with.
// It is a hint for the reader and never a reason to accuse.
type Shape string

// The shapes.
const (
	NoShape      Shape = ""
	RefusalShape Shape = "refusal" // one request and one short answer, then the end: how a refused initialize looks
	ListShape    Shape = "list"    // several requests and a longer answer: how a session that lists looks
)

// shortAnswer is more than any refusal takes with its fields, and less than a
// list of a few tools.
const shortAnswer = 2048

// dark counts the connections of a demand's window that cannot be read, and
// says what their sizes agree with where all of them are of one server.
func (l *Linker) dark(d *demand) (n int, s Shape, name string) {
	asked, answered, over, one := 0, 0, true, true
	var server netip.AddrPort
	for _, o := range l.opaque {
		if o.server == d.srv.addr || !d.srv.fromHost(o.host, false) || o.from > d.to || !o.open && (o.to < d.from || o.from < d.from-slack) {
			continue
		}
		if g := l.servers[o.server]; g != nil && g.gateway {
			continue
		}
		if n++; n == 1 {
			server, name = o.server, o.name
		}
		one = one && o.server == server && o.tls
		over = over && !o.open
		asked += o.asked
		answered += o.answered
	}
	switch {
	case n == 0 || !one || asked == 0:
	case n == 1 && over && asked == 1 && answered > 0 && answered <= shortAnswer:
		s = RefusalShape
	case asked >= 3 && answered > shortAnswer:
		s = ListShape
	}
	if !one {
		name = ""
	}
	return n, s, name
}
