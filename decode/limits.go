package decode

import "time"

// Limits bounds everything that an input can make grow. Zero means default;
// nothing is unlimited. Passing a bound degrades the analysis, keeps decoders
// in step, and is said with a "limit/..." Note.
type Limits struct {
	Flows    int           // connections tracked at once; the longest idle one is evicted. 65536: a SYN flood costs tens of MB
	HalfOpen int           // connections that carried no data yet, tracked at once. 16384: the rest of a flood is counted only
	Idle     time.Duration // a connection without packets for so long is over. 10 min: SSE streams send a comment every 15 s
	Connect  time.Duration // a SYN without an answer for so long is Unanswered. 20 s: five retries of common stacks begin earlier

	OutOfOrder int           // bytes held per direction of a connection while a segment is missing. 1 MiB: a large receive window
	Buffered   int           // bytes held out of order over all connections. 32 MiB
	Hole       time.Duration // a missing segment that nobody acknowledged is given up after so long. 10 s

	Disorder  time.Duration // how far behind time a frame may stand in a capture before its absence is believed. 100 ms: several queues, merged files
	Lingering int           // ended connections remembered, so that trailing segments do not begin new ones. 16384: 4 MB
	Linger    time.Duration // for so long. 30 s: retransmitted FINs

	Fragments     int           // IP datagrams being put together at once. 1024
	FragmentBytes int           // bytes of all of them. 8 MiB: 1024 of usual size, 128 of the largest
	FragmentAge   time.Duration // a datagram not complete after so long is given up. 30 s, as Linux does

	Tunnels int // nesting of tunnels and VLAN tags. 8: real overlays use three

	Head        int           // bytes of one message head, trailers included. 256 KiB: servers refuse heads over 64 KiB
	Fields      int           // header fields of one message. 512
	Pipelined   int           // requests awaiting their response on one connection. 1024
	Body        int           // bytes of one body that are kept for JSON. 4 MiB: the largest tool lists seen are under 1 MiB
	Bodies      int           // bytes of bodies kept at once over all connections. 64 MiB
	Expansion   int           // times a compressed body may grow. 1000: beyond it is a bomb
	Inflated    int           // bytes that one compressed body may grow to. 256 MiB: a day of a busy event stream
	Codings     int           // content codings on one body. 4: nobody uses more than two
	Line        int           // bytes of one SSE line. 4 MiB, as Body
	Streams     int           // HTTP/2 streams tracked per connection. 1024
	HeaderTable int           // bytes of one HPACK dynamic table. 64 KiB: the most that browsers and servers allow each other
	Sessions    int           // MCP sessions remembered. 4096
	Tools       int           // tool names kept of one list. 4096
	Messages    int           // JSON-RPC messages kept of one exchange. 256
	Held        int           // calls judged only when later ones tell more (whose server is where, who is the gateway). 2048: 8 MB
	OpenCalls   int           // calls awaiting their answer over all sessions. 16384
	Attempts    int           // upstream attempts remembered while a call is open. 16384
	Window      time.Duration // a call without an answer is judged after so long. 10 min
	Lateness    time.Duration // how long after its answer a call is judged, so that late upstream frames count, and holes that TCP waits for. 200 ms
	Secrets     int           // TLS key log lines remembered. 65536
	Ciphertext  int           // bytes of records held per connection while keys may still come. 256 KiB

	Ciphertexts int // bytes of records held over all connections while keys may still come. 16 MiB
	Resumptions int // TLS sessions remembered by their id or ticket. 4096
	Handshake   int // bytes of one TLS handshake message that are kept. 64 KiB: certificate chains are under 20 KB
	Shape       int // sizes of application data records kept per connection that cannot be decrypted. 128: 6 KB; a session that fails or lists takes under 20
}

// WithDefaults returns the limits with every zero replaced by its default.
func (l Limits) WithDefaults() Limits {
	def := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	dur := func(p *time.Duration, v time.Duration) {
		if *p <= 0 {
			*p = v
		}
	}
	def(&l.Flows, 65536)
	def(&l.HalfOpen, 16384)
	dur(&l.Idle, 10*time.Minute)
	dur(&l.Connect, 20*time.Second)
	def(&l.OutOfOrder, 1<<20)
	def(&l.Buffered, 32<<20)
	dur(&l.Hole, 10*time.Second)
	dur(&l.Disorder, 100*time.Millisecond)
	def(&l.Lingering, 16384)
	dur(&l.Linger, 30*time.Second)
	def(&l.Fragments, 1024)
	def(&l.FragmentBytes, 8<<20)
	dur(&l.FragmentAge, 30*time.Second)
	def(&l.Tunnels, 8)
	def(&l.Head, 256<<10)
	def(&l.Fields, 512)
	def(&l.Pipelined, 1024)
	def(&l.Body, 4<<20)
	def(&l.Bodies, 64<<20)
	def(&l.Expansion, 1000)
	def(&l.Inflated, 256<<20)
	def(&l.Codings, 4)
	def(&l.Line, 4<<20)
	def(&l.Streams, 1024)
	def(&l.HeaderTable, 64<<10)
	def(&l.Sessions, 4096)
	def(&l.Tools, 4096)
	def(&l.Messages, 256)
	def(&l.Held, 2048)
	def(&l.OpenCalls, 16384)
	def(&l.Attempts, 16384)
	dur(&l.Window, 10*time.Minute)
	dur(&l.Lateness, 200*time.Millisecond)
	def(&l.Secrets, 65536)
	def(&l.Ciphertext, 256<<10)
	def(&l.Ciphertexts, 16<<20)
	def(&l.Resumptions, 4096)
	def(&l.Handshake, 64<<10)
	def(&l.Shape, 128)
	return l
}
