// Package har writes the HTTP exchanges of a packet capture as a HAR 1.2, for
// the tools that read no packets: both hops in one file, whatever version of
// HTTP they speak and, with keys, out of TLS.
//
// It judges nothing, and a HAR cannot hold all that a capture does: what is not
// HTTP, the time of each event of a stream, and how a connection ended are lost.
// A connection that was never made carried no request; it is written as one of
// the method CONNECT with the error that a browser has for it.
//
// The one trick: an entry is written when its exchange is over, in whatever
// order that is, to a file that nobody sees; then the entries are copied in the
// order of their requests. So memory holds what is open, and a place per entry.
package har

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/stack"
)

// Options say how a HAR is written. The zero value works.
type Options struct {
	Version string             // of this program, for log.creator
	Mask    func(entry []byte) // changes an entry in place; nil: it is written as it is
	Limits  decode.Limits
}

// Write writes the exchanges of src, which it closes, to out. It needs spill
// for as much as it writes. It returns the first frame of each entry, in order.
func Write(src capture.Source, out io.Writer, spill *os.File, opt Options) ([]int, error) {
	defer src.Close()
	w := &writer{opt: opt, lim: opt.Limits.WithDefaults(), spill: bufio.NewWriterSize(spill, 256<<10), open: map[httpmsg.ID]*exchange{}}
	d := stack.New(stack.Config{Limits: opt.Limits, HTTP: w.event}, w.found)
	for {
		r, err := src.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if r.Entry != nil {
			return nil, errors.New("this is a HAR already")
		}
		d.Record(r)
		if w.err != nil {
			return nil, w.err
		}
	}
	d.Close()
	w.close()
	if err := cmp.Or(w.err, w.spill.Flush()); err != nil {
		return nil, err
	}
	return w.copy(out, spill)
}

// A writer collects exchanges.
type writer struct {
	opt    Options
	lim    decode.Limits
	spill  *bufio.Writer
	offset int64
	places []place
	open   map[httpmsg.ID]*exchange
	held   int // bytes of bodies
	err    error
	buf    []byte
}

// A place is an entry in the spill.
type place struct {
	at    time.Time
	frame int
	from  int64
	n     int
}

// An exchange is one request with its response.
type exchange struct {
	flow      decode.Flow
	id        httpmsg.ID
	proto     string
	method    string
	url       string
	asked     decode.Mark // first byte
	askedEnd  decode.Mark
	head      decode.Mark // first byte of the response
	ended     decode.Mark
	status    int
	sides     [2]side
	cut       decode.End
	lost      bool // by a hole
	whole     bool
	hasAnswer bool
}

// A side is the request or the response.
type side struct {
	header [][2]string
	body   []byte
	size   int // as sent
	gone   bool
	over   bool
	coder  *httpmsg.Content
}

func (w *writer) event(f *decode.Flow, e *httpmsg.Event) {
	x := w.open[e.ID]
	if x == nil {
		if e.Kind != httpmsg.Head || e.Dir != decode.ToServer || len(w.open) >= w.lim.Flows {
			return // a response without its request has no URL
		}
		x = &exchange{flow: *f, id: e.ID}
		w.open[e.ID] = x
	}
	s := &x.sides[e.Dir]
	switch e.Kind {
	case httpmsg.Head:
		if !e.Interim {
			w.head(x, s, e)
		}
	case httpmsg.Body:
		s.size += len(e.Data)
		s.coder.Write(e.Data, func(b []byte) { w.keep(s, b) })
		x.last(e)
	case httpmsg.Hole:
		w.drop(s)
		s.size += max(e.N, 0)
	case httpmsg.Done, httpmsg.Cut:
		w.over(x, s, e)
	}
}

// found takes what a connection came to: one that was refused or not answered
// is an entry too.
func (w *writer) found(e stack.Event) {
	c := e.Connection
	if c == nil || c.How != decode.Refused && c.How != decode.Unanswered {
		return
	}
	scheme := "http"
	if c.Flow.Server.Port() == 443 {
		scheme = "https"
	}
	u := url.URL{Scheme: scheme, Host: c.Flow.Server.String(), Path: "/"}
	began := decode.Mark{Frame: c.Flow.First, Time: c.Flow.Start}
	w.finish(&exchange{flow: c.Flow, method: "CONNECT", url: u.String(), cut: c.How, asked: began, askedEnd: began, ended: c.Ended})
}

// last notes until when bytes came. A stream is as long as its last event, not
// as its connection.
func (x *exchange) last(e *httpmsg.Event) {
	if e.Dir == decode.ToServer {
		x.askedEnd = e.At
	} else {
		x.ended = e.At
	}
}

func (w *writer) head(x *exchange, s *side, e *httpmsg.Event) {
	if s.header != nil {
		return // trailer fields
	}
	s.header = make([][2]string, 0, len(e.Header))
	for _, f := range e.Header {
		if len(f.Name) > 0 && f.Name[0] != ':' {
			s.header = append(s.header, [2]string{string(f.Name), string(f.Value)})
		}
	}
	if coding, ok := e.Header.Get("content-encoding"); ok {
		var known bool
		if s.coder, known = httpmsg.NewContent(coding, w.lim); !known {
			s.gone = true
		}
	}
	x.last(e)
	if e.Dir == decode.ToServer {
		x.asked, x.proto, x.method = e.From, e.Proto, e.Method
		x.url = target(e, &x.flow)
		return
	}
	x.head, x.status, x.hasAnswer = e.From, e.Status, true
}

// target returns the URL of a request.
func target(e *httpmsg.Event, f *decode.Flow) string {
	s := e.Target
	if !strings.Contains(s, "://") {
		host := e.Authority
		if host == "" {
			host = f.Server.String()
		}
		if s == "*" || s == "" || e.Method == "CONNECT" {
			s = "/"
		}
		s = e.Scheme + "://" + host + s
	}
	if u, err := url.Parse(s); err != nil || u.Host == "" {
		path, query, _ := strings.Cut(e.Target, "?")
		u := url.URL{Scheme: e.Scheme, Host: f.Server.String(), Path: path, RawQuery: query}
		return u.String()
	}
	return s
}

// keep appends to a body, within bounds.
func (w *writer) keep(s *side, b []byte) {
	if s.gone {
		return
	}
	if len(s.body)+len(b) > w.lim.Body || w.held+len(b) > w.lim.Bodies {
		w.drop(s)
		return
	}
	s.body = append(s.body, b...)
	w.held += len(b)
}

// drop leaves a body out: it is not whole.
func (w *writer) drop(s *side) {
	w.held -= len(s.body)
	s.body, s.gone = nil, true
}

func (w *writer) over(x *exchange, s *side, e *httpmsg.Event) {
	s.coder.End(func(b []byte) { w.keep(s, b) })
	if s.coder.Err() != "" {
		w.drop(s)
	}
	s.over = true
	if e.Kind == httpmsg.Cut {
		x.cut, x.lost = e.Why, x.lost || e.Why == 0
		if e.Dir == decode.ToServer || !stream(x) || !bytes.Contains(s.body, []byte("data")) {
			w.drop(s) // what matters of it is missing
		}
	} else if e.Dir == decode.ToClient {
		x.whole = true
	}
	if e.Dir == decode.ToClient && (!x.hasAnswer || x.ended.Time.IsZero()) {
		x.ended = e.At
	}
	if x.sides[0].over && x.sides[1].over {
		w.finish(x)
	}
}

// stream reports whether the answer is a stream of events, of which each is
// whole by itself.
func stream(x *exchange) bool {
	return strings.HasPrefix(strings.ToLower(field(x.sides[decode.ToClient].header, "content-type")), "text/event-stream")
}

// close writes what is still open.
func (w *writer) close() {
	var left []*exchange
	for _, x := range w.open {
		left = append(left, x)
	}
	slices.SortFunc(left, func(a, b *exchange) int { return cmp.Compare(a.asked.Frame, b.asked.Frame) })
	for _, x := range left {
		w.finish(x)
	}
}

// finish writes an exchange.
func (w *writer) finish(x *exchange) {
	delete(w.open, x.id)
	w.held -= len(x.sides[0].body) + len(x.sides[1].body)
	x.sides[0].coder.Close()
	x.sides[1].coder.Close()
	if x.asked.Frame == 0 || w.err != nil {
		return
	}
	w.buf = x.entry(w.buf[:0])
	if w.opt.Mask != nil {
		w.opt.Mask(w.buf)
	}
	w.places = append(w.places, place{x.asked.Time, x.asked.Frame, w.offset, len(w.buf)})
	w.offset += int64(len(w.buf))
	_, w.err = w.spill.Write(w.buf)
}

// copy writes the document: the entries in order of their requests.
func (w *writer) copy(out io.Writer, spill *os.File) ([]int, error) {
	slices.SortStableFunc(w.places, func(a, b place) int {
		return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.frame, b.frame))
	})
	b := bufio.NewWriterSize(out, 256<<10)
	fmt.Fprintf(b, "{\"log\":{\"version\":\"1.2\",\"creator\":{\"name\":\"mcp401\",\"version\":%s},\"pages\":[],\"entries\":[", quote(w.opt.Version))
	frames := make([]int, 0, len(w.places))
	for i, p := range w.places {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		if _, err := io.Copy(b, io.NewSectionReader(spill, p.from, int64(p.n))); err != nil {
			return nil, err
		}
		frames = append(frames, p.frame)
	}
	b.WriteString("\n]}}\n")
	return frames, b.Flush()
}

// An object is a JSON object being written.
type object struct{ b []byte }

func quote(s string) string {
	b, _ := jsontext.AppendQuote(nil, strings.ToValidUTF8(s, "\uFFFD"))
	return string(b)
}

func (o *object) raw(name, value string) {
	if last := o.b[len(o.b)-1]; last != '{' && last != '[' {
		o.b = append(o.b, ',')
	}
	o.b = append(append(append(o.b, quote(name)...), ':'), value...)
}

func (o *object) str(name, value string)    { o.raw(name, quote(value)) }
func (o *object) num(name string, v int)    { o.raw(name, strconv.Itoa(v)) }
func (o *object) open(name, bracket string) { o.raw(name, bracket) }
func (o *object) close(bracket string)      { o.b = append(o.b, bracket...) }

func (o *object) ms(name string, d time.Duration) {
	if d < 0 {
		d = 0
	}
	o.raw(name, strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'f', -1, 64))
}

// pairs writes a list of names and values.
func (o *object) pairs(name string, list [][2]string) {
	o.open(name, "[")
	for i, f := range list {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, `{"name":`+quote(f[0])+`,"value":`+quote(f[1])+`}`...)
	}
	o.close("]")
}

// entry writes an exchange as a HAR entry.
func (x *exchange) entry(b []byte) []byte {
	o := &object{append(b, '{')}
	end := x.ended.Time
	if end.Before(x.askedEnd.Time) {
		end = x.askedEnd.Time
	}
	o.str("startedDateTime", written(x.asked.Time))
	o.ms("time", end.Sub(x.asked.Time))
	x.request(o)
	x.response(o)
	o.raw("cache", "{}")
	o.raw("timings", `{"blocked":-1,"dns":-1,"connect":-1,"ssl":-1}`)
	o.b = o.b[:len(o.b)-1]
	first := end
	if x.hasAnswer {
		first = x.head.Time
	}
	sent := x.askedEnd.Time
	if first.Before(sent) {
		sent = first // answered before it was all sent
	}
	o.ms("send", sent.Sub(x.asked.Time))
	o.ms("wait", first.Sub(sent))
	o.ms("receive", end.Sub(first))
	o.close("}")
	o.str("serverIPAddress", x.flow.Server.Addr().WithZone("").String())
	o.str("connection", strconv.Itoa(int(x.flow.Client.Port())))
	o.str("_clientAddress", x.flow.Client.String())
	o.num("_flow", x.flow.First)
	o.num("_frame", x.asked.Frame)
	if x.hasAnswer {
		o.num("_answerFrame", x.head.Frame)
	}
	o.close("}")
	return o.b
}

// written is a time as RFC 3339 has it, which ends with the year 9999. A clock
// that says another one is broken, and the order of the entries stays.
func written(t time.Time) string {
	const last = 253402300799 // the last second of that year
	if s := t.Unix(); s < 0 || s > last {
		t = time.Unix(min(max(s, 0), last), 0)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000000Z")
}

func (x *exchange) version() string {
	switch x.proto {
	case "":
		return "HTTP/1.1"
	case "2":
		return "HTTP/2.0"
	}
	return "HTTP/" + x.proto
}

func (x *exchange) request(o *object) {
	s := &x.sides[decode.ToServer]
	o.open("request", "{")
	o.str("method", x.method)
	o.str("url", x.url)
	o.str("httpVersion", x.version())
	o.pairs("cookies", cookies(s.header, "cookie"))
	o.pairs("headers", s.header)
	o.pairs("queryString", query(x.url))
	if s.size > 0 {
		o.open("postData", "{")
		o.str("mimeType", field(s.header, "content-type"))
		if !s.gone {
			o.text(s.body)
		}
		o.close("}")
	}
	o.num("headersSize", -1)
	o.num("bodySize", s.size)
	o.close("}")
}

func (x *exchange) response(o *object) {
	s := &x.sides[decode.ToClient]
	o.open("response", "{")
	o.num("status", x.status)
	o.str("statusText", http.StatusText(x.status))
	o.str("httpVersion", x.version())
	o.pairs("cookies", cookies(s.header, "set-cookie"))
	o.pairs("headers", s.header)
	o.open("content", "{")
	size := len(s.body)
	if s.gone && x.hasAnswer {
		size = max(s.size, 1) // not recorded, which is not the same as empty
	}
	o.num("size", size)
	mime := field(s.header, "content-type")
	if mime == "" {
		mime = "x-unknown"
	}
	o.str("mimeType", mime)
	if !s.gone && x.hasAnswer {
		o.text(s.body)
	}
	o.close("}")
	o.str("redirectURL", field(s.header, "location"))
	o.num("headersSize", -1)
	o.num("bodySize", s.size)
	if e := x.fault(); e != "" {
		o.str("_error", e)
	}
	o.close("}")
}

// fault says why there is no whole response, in the words of a browser where
// it has some.
func (x *exchange) fault() string {
	switch {
	case x.whole:
		return ""
	case x.lost:
		return "not whole in the capture"
	case x.hasAnswer && x.cut == decode.Fin:
		return "net::ERR_CONTENT_LENGTH_MISMATCH"
	case x.cut == decode.Reset:
		return "net::ERR_CONNECTION_RESET"
	case x.cut == decode.Fin:
		return "net::ERR_CONNECTION_CLOSED"
	case x.cut == decode.Timeout:
		return "net::ERR_TIMED_OUT"
	case x.cut == decode.Refused && x.method == "CONNECT":
		return "net::ERR_CONNECTION_REFUSED"
	case x.cut == decode.Unanswered:
		return "net::ERR_CONNECTION_TIMED_OUT"
	}
	return "the capture ended before the answer"
}

// text writes a body: as text, or in base64 where it is none.
func (o *object) text(b []byte) {
	if utf8.Valid(b) {
		o.str("text", string(b))
		return
	}
	o.str("encoding", "base64")
	o.str("text", base64.StdEncoding.EncodeToString(b))
}

func field(header [][2]string, name string) string {
	for _, f := range header {
		if strings.EqualFold(f[0], name) {
			return f[1]
		}
	}
	return ""
}

// cookies returns the cookies of the fields of that name.
func cookies(header [][2]string, name string) [][2]string {
	var list [][2]string
	for _, f := range header {
		if !strings.EqualFold(f[0], name) {
			continue
		}
		for i, part := range strings.Split(f[1], ";") {
			if i > 0 && name == "set-cookie" {
				break // its attributes
			}
			k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
			list = append(list, [2]string{k, v})
		}
	}
	return list
}

// query returns the parameters of a URL, unescaped.
func query(s string) [][2]string {
	var list [][2]string
	_, q, _ := strings.Cut(s, "?")
	q, _, _ = strings.Cut(q, "#")
	for pair := range strings.SplitSeq(q, "&") {
		if pair == "" {
			continue
		}
		k, v, _ := strings.Cut(pair, "=")
		list = append(list, [2]string{unescaped(k), unescaped(v)})
	}
	return list
}

func unescaped(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}
