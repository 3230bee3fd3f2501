package stack

import (
	"bytes"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// entry turns a HAR entry into the events of one exchange. Each entry is a
// flow of its own: a HAR does not say which share a connection.
func (d *Decoder) entry(at decode.Mark, e *capture.Entry) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" {
		if !strings.HasPrefix(e.URL, "data:") && !strings.HasPrefix(e.URL, "blob:") && !strings.HasPrefix(e.URL, "file:") {
			d.note(decode.Note{Code: "har/bad-url", At: at, Flow: at.Frame, Text: "an entry without a usable URL"})
		}
		return
	}
	f := decode.Flow{First: at.Frame, Start: at.Time, Server: serverOf(u, e.Server)}
	if how := neverMade(e); how != 0 {
		d.emit(Event{At: at, Flow: f.First, Connection: &Connection{Flow: f, How: how, Ended: after(at, e.Took)}})
		return
	}
	d.har = at.Frame
	defer func() { d.har = 0 }()
	tell := func(e httpmsg.Event) {
		v := &d.head.event
		*v = e
		v.ID = httpmsg.ID{Flow: at.Frame, Stream: 1}
		if d.cfg.Messages {
			d.message(&f, 0, v)
		}
		d.mcp.Event(&f, false, true, v)
	}
	d.entryRequest(at, u, e, tell)
	d.entryResponse(at, e, tell)
	d.mcp.End(&f, decode.ToClient, after(at, e.Took), decode.Reset)
	d.emit(Event{At: at, Flow: f.First, Connection: &Connection{Flow: f, How: decode.Fin, Ended: after(at, e.Took), Protocol: "http1", Exchanges: 1}})
}

// neverMade says how an entry tells of a connection that carried no request:
// "mcp401 har" writes those of a packet capture so. 0: it is a request.
func neverMade(e *capture.Entry) decode.End {
	if e.Method != "CONNECT" || e.Status != 0 {
		return 0
	}
	switch e.Error {
	case "net::ERR_CONNECTION_REFUSED":
		return decode.Refused
	case "net::ERR_CONNECTION_TIMED_OUT":
		return decode.Unanswered
	}
	return 0
}

// serverOf names the server of a URL. A host name stays a name, as the zone of
// the unspecified address: what it resolved to may be shared with others.
func serverOf(u *url.URL, ip string) netip.AddrPort {
	port := map[string]uint16{"https": 443, "wss": 443}[u.Scheme]
	if port == 0 {
		port = 80
	}
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = uint16(n)
	}
	host := strings.ToLower(u.Hostname())
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a.Unmap(), port)
	}
	if host == "localhost" {
		if a, err := netip.ParseAddr(strings.Trim(ip, "[]")); err == nil && a.IsLoopback() {
			return netip.AddrPortFrom(a, port)
		}
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	return netip.AddrPortFrom(netip.IPv6Unspecified().WithZone(host), port)
}

func after(at decode.Mark, took time.Duration) decode.Mark {
	if took > 0 {
		at.Time = at.Time.Add(took)
	}
	return at
}

func (d *Decoder) entryRequest(at decode.Mark, u *url.URL, e *capture.Entry, tell func(httpmsg.Event)) {
	h := d.head.of(e.Request)
	if _, ok := h.Get("access-control-request-method"); e.Preflight && !ok {
		h = append(h, httpmsg.Field{Name: []byte("access-control-request-method"), Value: []byte("POST")})
	}
	if _, ok := h.Get("content-type"); !ok && e.Body != nil && e.Body.MIME != "" {
		h = append(h, httpmsg.Field{Name: []byte("content-type"), Value: []byte(e.Body.MIME)})
	}
	tell(httpmsg.Event{Kind: httpmsg.Head, Dir: decode.ToServer, At: at, From: at, Proto: e.Proto, Method: e.Method,
		Target: u.RequestURI(), Authority: u.Host, Scheme: u.Scheme, Decoded: true, Header: h})
	if e.Body != nil {
		body(decode.ToServer, at, e.Body, tell)
	}
	tell(httpmsg.Event{Kind: httpmsg.Done, Dir: decode.ToServer, At: at, Absent: e.Body == nil && (e.Method == "POST" || e.Method == "PUT" || e.Method == "PATCH")})
}

func (d *Decoder) entryResponse(at decode.Mark, e *capture.Entry, tell func(httpmsg.Event)) {
	end := after(at, e.Took)
	if e.Status == 0 {
		tell(httpmsg.Event{Kind: httpmsg.Cut, Dir: decode.ToClient, At: end, Why: decode.Reset, Error: e.Error})
		return
	}
	begin := end
	if e.Wait >= 0 && (e.Took < 0 || e.Wait < e.Took) {
		begin = after(at, e.Wait)
	}
	h := d.head.of(e.Response)
	if _, ok := h.Get("content-type"); !ok && e.MIME != "" && e.MIME != "x-unknown" {
		h = append(h, httpmsg.Field{Name: []byte("content-type"), Value: []byte(e.MIME)})
	}
	tell(httpmsg.Event{Kind: httpmsg.Head, Dir: decode.ToClient, At: begin, From: begin, Proto: e.Proto, Method: e.Method, Status: e.Status, Decoded: true, Header: h})
	absent := e.Content == nil && e.Size != 0 && e.Status != 204 && e.Status != 304
	switch {
	case e.Content != nil && (len(e.Content.Data) > 0 || len(e.Events) == 0):
		body(decode.ToClient, end, e.Content, tell)
	case len(e.Events) > 0:
		// The body was not kept, but its events were.
		if b, ok := stream(e.Events); ok {
			absent = false
			tell(httpmsg.Event{Kind: httpmsg.Body, Dir: decode.ToClient, At: end, Data: b})
		}
	}
	tell(httpmsg.Event{Kind: httpmsg.Done, Dir: decode.ToClient, At: end, Absent: absent})
}

func body(dir decode.Dir, at decode.Mark, b *capture.Body, tell func(httpmsg.Event)) {
	if len(b.Data) > 0 {
		tell(httpmsg.Event{Kind: httpmsg.Body, Dir: dir, At: at, Data: b.Data})
	}
	if b.Lost > 0 {
		tell(httpmsg.Event{Kind: httpmsg.Hole, Dir: dir, At: at, N: int(b.Lost)})
	}
}

// stream writes events as the stream that they came from; false: their data
// was withdrawn.
func stream(events []capture.StreamEvent) ([]byte, bool) {
	var b bytes.Buffer
	for _, e := range events {
		if e.DataWithdrawn {
			return nil, false
		}
		if e.Name != "" {
			b.WriteString("event: " + oneLine(e.Name) + "\n")
		}
		if e.ID != "" {
			b.WriteString("id: " + oneLine(e.ID) + "\n")
		}
		for line := range strings.SplitSeq(e.Data, "\n") {
			b.WriteString("data: " + strings.TrimSuffix(line, "\r") + "\n")
		}
		b.WriteByte('\n')
	}
	return b.Bytes(), true
}

func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

// A harHead is the memory of one event with its head, used again for the next
// one: both are valid until the event is told.
type harHead struct {
	event  httpmsg.Event
	fields httpmsg.Header
	bytes  []byte
}

func (h *harHead) of(fs []capture.Field) httpmsg.Header {
	size := 0
	for _, f := range fs {
		size += len(f.Name) + len(f.Value)
	}
	h.bytes = slices.Grow(h.bytes[:0], size) // once: what stands in it does not move
	h.fields = h.fields[:0]
	for _, f := range fs {
		if !strings.HasPrefix(f.Name, ":") {
			h.fields = append(h.fields, httpmsg.Field{Name: h.keep(f.Name), Value: h.keep(f.Value)})
		}
	}
	if cap(h.bytes) > harHeadKept {
		h.bytes = nil // one long head is not paid for by all that follow
	}
	return h.fields
}

const harHeadKept = 64 << 10

func (h *harHead) keep(s string) []byte {
	n := len(h.bytes)
	h.bytes = append(h.bytes, s...)
	return h.bytes[n:len(h.bytes):len(h.bytes)]
}
