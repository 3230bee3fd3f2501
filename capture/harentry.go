package capture

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/url"
	"strings"
	"time"
)

// The reading of a HAR's objects, from the outer to the inner. Members come in
// any order, so what depends on several is decided when the object has ended.

func (h *har) readCreator() {
	h.room = h.in.opt.MaxHead
	if !h.enter('{') {
		return
	}
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "name":
			h.creator = h.word()
		default:
			h.skip()
		}
	}
}

// A draft is an entry with what only its reading needs.
type draft struct {
	*Entry
	at       time.Time
	resource string // _resourceType
	versions [2]string
	posted   harBody
	content  harBody
}

// A harBody is postData or content as it stands in the file.
type harBody struct {
	text     []byte
	there    bool // text was a string
	lost     int64
	encoding string
	mime     string
	file     string // a zip's file that holds the body
	params   []Field
}

// entry reads one element of log.entries and queues it.
func (h *har) entry() {
	h.in.frames++
	h.room = h.in.opt.MaxHead
	if !h.enter('{') {
		if h.err != nil {
			h.in.frames--
			return
		}
		h.warn("har/bad-entry", "entry %d is not an object, left out", h.in.frames)
		return
	}
	d := draft{Entry: &Entry{Creator: h.creator, Took: -1, Wait: -1, Size: -1}}
	for name := h.member(); name != nil; name = h.member() {
		h.entryMember(&d, name)
	}
	if h.err != nil {
		h.in.frames--
		return
	}
	if d.at.IsZero() {
		h.warn("har/bad-time", "entry %d has no readable time, that of the entry before it is taken", h.in.frames)
		d.at = h.last
	}
	h.last = d.at
	h.finish(&d)
	h.queue.push(Record{Num: h.in.frames, Time: d.at, Entry: d.Entry})
}

func (h *har) warn(code, text string, args ...any) {
	h.in.warn(code, 1, text, args...)
}

func (h *har) entryMember(d *draft, name []byte) {
	switch string(name) {
	case "startedDateTime":
		d.at = h.time()
	case "time":
		d.Took = h.milliseconds()
	case "request":
		h.request(d)
	case "response":
		h.response(d)
	case "timings":
		d.Wait = h.timings()
	case "serverIPAddress":
		d.Server = strings.Trim(h.word(), "[]")
	case "connection":
		d.Connection = h.word()
	case "pageref":
		d.Page = h.word()
	case "_resourceType":
		d.resource = h.word()
	case "_fromCache":
		d.Cached = h.truth() || d.Cached
	case "_error", "_failureText":
		h.failure(d)
	case "_eventSourceMessages":
		d.Events = h.events()
	default:
		h.skip()
	}
}

// time reads startedDateTime; zero when it is none.
func (h *har) time() time.Time {
	b, _ := h.scalar()
	t, zoned, ok := parseTime(b)
	if ok && !zoned && !h.unzoned {
		h.unzoned = true
		h.warn("har/no-zone", "entry %d has a time without a zone, UTC is assumed", h.in.frames)
	}
	return t
}

func (h *har) milliseconds() time.Duration {
	v, ok := h.number()
	if !ok {
		return -1
	}
	return milliseconds(v)
}

// timings returns the time to the first byte of the response: what the phases
// before it took, ssl being a part of connect.
func (h *har) timings() time.Duration {
	if !h.enter('{') {
		return -1
	}
	sum, wait := time.Duration(0), time.Duration(-1)
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "blocked", "dns", "connect", "send":
			sum += max(h.milliseconds(), 0)
		case "wait":
			wait = h.milliseconds()
		default:
			h.skip()
		}
	}
	if wait < 0 {
		return -1
	}
	return sum + wait
}

// truth reads a boolean, or takes any text for true: "_fromCache": "disk".
func (h *har) truth() bool {
	b, _ := h.scalar()
	return len(b) > 0 && string(b) != "false" && string(b) != "0"
}

func (h *har) failure(d *draft) {
	if s := h.text(); d.Error == "" {
		d.Error = s
	}
}

func (h *har) request(d *draft) {
	if !h.enter('{') {
		return
	}
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "method":
			d.Method = h.word()
		case "url":
			d.URL = h.text()
		case "httpVersion":
			d.versions[1] = h.word()
		case "headers":
			d.Request = h.fields()
		case "postData":
			h.body(&d.posted, d)
		default:
			h.skip()
		}
	}
}

func (h *har) response(d *draft) {
	if !h.enter('{') {
		return
	}
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "status":
			d.Status = int(max(min(h.integer(0), 999), 0))
		case "statusText":
			d.Reason = h.word()
		case "httpVersion":
			d.versions[0] = h.word()
		case "headers":
			d.Response = h.fields()
		case "content":
			h.body(&d.content, d)
		case "redirectURL":
			d.Redirect = h.text()
		case "_error", "_failureText":
			h.failure(d)
		case "_charlesStatus":
			if s := h.text(); !strings.EqualFold(s, "complete") && d.Error == "" {
				d.Error = s
			}
		case "_fromCache", "fromDiskCache":
			d.Cached = h.truth() || d.Cached
		default:
			h.skip()
		}
	}
}

// The number of fields, parameters or events that are kept of one entry.
// Servers refuse more than a hundred fields; an event stream can be long.
const (
	maxFields = 1024
	maxEvents = 16384
)

// fields reads a list of name and value, or an object of them.
func (h *har) fields() []Field {
	h.list = h.list[:0]
	if h.kind() == '{' {
		h.enter('{')
		for name := h.member(); name != nil; name = h.member() {
			f := Field{Name: string(name)}
			h.room -= len(f.Name)
			f.Value = h.text()
			h.keep(f)
		}
	} else if h.enter('[') {
		for h.element() {
			h.keep(h.field())
		}
	}
	if len(h.list) == 0 {
		return nil
	}
	return append([]Field(nil), h.list...)
}

func (h *har) keep(f Field) {
	switch {
	case len(h.list) < maxFields:
		h.list = append(h.list, f)
	case len(h.list) == maxFields:
		h.warn("limit/har-fields", "entry %d has more than %d header fields, the others are left out", h.in.frames, maxFields)
	}
}

func (h *har) field() (f Field) {
	if !h.enter('{') {
		return f
	}
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "name":
			f.Name = h.word()
		case "value":
			f.Value = h.value(f.Name)
		default:
			h.skip()
		}
	}
	return f
}

// body reads postData or content.
func (h *har) body(b *harBody, d *draft) {
	if !h.enter('{') {
		return
	}
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "text":
			b.text, b.lost, b.there = h.data()
		case "encoding":
			b.encoding = h.word()
		case "mimeType":
			b.mime = h.word()
		case "_file":
			b.file = h.text()
		case "params":
			b.params = h.fields()
		case "size":
			if b == &d.content {
				d.Size = max(h.integer(-1), -1)
			} else {
				h.skip()
			}
		default:
			h.skip()
		}
	}
}

// events reads the server-sent events that an exporter kept.
func (h *har) events() []StreamEvent {
	if !h.enter('[') {
		return nil
	}
	var list []StreamEvent
	room := h.in.opt.MaxBody
	for h.element() {
		e, size := h.event()
		room -= size
		if len(list) >= maxEvents || room < 0 {
			h.warn("limit/har-events", "entry %d has too many events, the others are left out", h.in.frames)
			continue
		}
		list = append(list, e)
	}
	return list
}

func (h *har) event() (e StreamEvent, size int) {
	e.DataWithdrawn = true
	if !h.enter('{') {
		return e, 0
	}
	for name := h.member(); name != nil; name = h.member() {
		switch string(name) {
		case "time":
			e.Time = h.eventTime()
		case "eventName":
			e.Name = h.text()
		case "eventId":
			e.ID = h.text()
		case "data":
			b, _, there := h.data()
			e.Data, e.DataWithdrawn = string(b), !there
		default:
			h.skip()
		}
	}
	return e, len(e.Data)
}

// eventTime reads seconds since 1970, as devtools write them, or a date.
func (h *har) eventTime() time.Time {
	b, _ := h.scalar()
	if t, _, ok := parseTime(b); ok {
		return t
	}
	v, err := parseFloat(b)
	if err != nil {
		return time.Time{}
	}
	return epoch(v)
}

// finish decides what depends on several members.
func (h *har) finish(d *draft) {
	e := d.Entry
	e.Proto = proto(d.versions[0])
	if e.Proto == "" {
		e.Proto = proto(d.versions[1])
	}
	e.MIME = d.content.mime
	e.Cached = e.Cached || e.Status == 304
	e.Preflight = d.resource == "preflight" || e.Method == "OPTIONS" && asksForCORS(e.Request)
	e.Body = h.requestBody(&d.posted)
	e.Content = h.responseBody(d)
}

func asksForCORS(fields []Field) bool {
	for _, f := range fields {
		if strings.EqualFold(f.Name, "access-control-request-method") {
			return true
		}
	}
	return false
}

// requestBody is what was posted: a text, or parameters of a form.
func (h *har) requestBody(b *harBody) *Body {
	if !b.there && len(b.params) > 0 && !strings.HasPrefix(b.mime, "multipart/") {
		form := make([]string, len(b.params))
		for i, p := range b.params {
			form[i] = url.QueryEscape(p.Name) + "=" + url.QueryEscape(p.Value)
		}
		b.text, b.there = []byte(strings.Join(form, "&")), true
	}
	return h.recorded(b)
}

// responseBody is the content if it was recorded. An empty text is no record of
// a body that is said to have a size, nor of a response that never came.
func (h *har) responseBody(d *draft) *Body {
	if len(d.content.text) == 0 && d.content.file == "" && (d.Size > 0 || d.Status == 0) {
		return nil
	}
	return h.recorded(&d.content)
}

func (h *har) recorded(b *harBody) *Body {
	if !b.there && b.file != "" {
		return h.attachment(b)
	}
	if !b.there {
		return nil
	}
	body := &Body{Data: b.text, MIME: b.mime, Lost: b.lost}
	if strings.EqualFold(b.encoding, "base64") {
		var ok bool
		if body.Data, ok = decodeBase64(b.text); !ok {
			h.warn("har/bad-base64", "a body of entry %d is damaged base64, read as far as it goes", h.in.frames)
		}
		body.Lost = b.lost / 4 * 3
	}
	return body
}

// attachment reads a body from a file beside the HAR in its zip.
func (h *har) attachment(b *harBody) *Body {
	if h.in.attached == nil {
		h.warn("har/no-attachment", "a body of entry %d stands in a file of its own, which is not read", h.in.frames)
		return nil
	}
	r, size := h.in.attached(b.file)
	if r == nil {
		h.warn("har/no-attachment", "a body of entry %d is not in the archive", h.in.frames)
		return nil
	}
	defer r.Close()
	if h.unpacked > maxAttached {
		h.warn("limit/har-attachments", "a body of entry %d is left out: the archive holds more than %d MiB of them", h.in.frames, maxAttached>>20)
		return nil
	}
	data, err := io.ReadAll(io.LimitReader(r, int64(h.in.opt.MaxBody)))
	h.unpacked += int64(len(data))
	if err != nil {
		h.warn("har/bad-attachment", "a body of entry %d cannot be read from the archive", h.in.frames)
		return nil
	}
	return &Body{Data: data, MIME: b.mime, Lost: max(size-int64(len(data)), 0)}
}

// What is unpacked of attached bodies in all: entries can name one file of zeros
// a million times over.
const maxAttached = 1 << 30

// decodeBase64 decodes both alphabets, padded or not, over lines or not; ok is
// false when something else was among it, at which it stops.
func decodeBase64(text []byte) (data []byte, ok bool) {
	if bytes.ContainsAny(text, "-_ \t\r\n") {
		text = bytes.Map(func(r rune) rune {
			switch r {
			case '-':
				return '+'
			case '_':
				return '/'
			case ' ', '\t', '\r', '\n':
				return -1
			}
			return r
		}, text)
	}
	text = bytes.TrimRight(text, "=")
	data = make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
	n, err := base64.RawStdEncoding.Decode(data, text)
	return data[:n], err == nil
}

// proto normalises what exporters write for the version of HTTP.
func proto(s string) string {
	s = strings.ToLower(s)
	s, named := strings.CutPrefix(s, "http/")
	switch {
	case s == "1.0", s == "1.1":
		return s
	case named && s == "1", s == "http1.1":
		return "1.1"
	case s == "h2", s == "h2c", named && (s == "2" || s == "2.0"):
		return "2"
	case strings.HasPrefix(s, "h3"), strings.Contains(s, "quic"), named && (s == "3" || s == "3.0"):
		return "3"
	}
	return ""
}

// A harQueue puts entries in order of time within a bounded window. An entry
// that is later than the window is long comes out late. It is a heap with the
// earliest entry on top, at equal times the first in the file.
type harQueue struct {
	heap  []Record
	bytes int
}

func (q *harQueue) full(opt Options) bool { return len(q.heap) > opt.Window || q.bytes > opt.Bodies }

func (q *harQueue) before(i, j int) bool {
	if c := q.heap[i].Time.Compare(q.heap[j].Time); c != 0 {
		return c < 0
	}
	return q.heap[i].Num < q.heap[j].Num
}

func (q *harQueue) push(rec Record) {
	q.bytes += bodyBytes(rec.Entry)
	q.heap = append(q.heap, rec)
	for i := len(q.heap) - 1; i > 0 && q.before(i, (i-1)/2); i = (i - 1) / 2 {
		q.heap[i], q.heap[(i-1)/2] = q.heap[(i-1)/2], q.heap[i]
	}
}

func (q *harQueue) pop() (Record, bool) {
	last := len(q.heap) - 1
	if last < 0 {
		return Record{}, false
	}
	rec := q.heap[0]
	q.heap[0], q.heap[last] = q.heap[last], Record{}
	q.heap = q.heap[:last]
	for i := 0; ; {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < last; c++ {
			if q.before(c, least) {
				least = c
			}
		}
		if least == i {
			break
		}
		q.heap[i], q.heap[least] = q.heap[least], q.heap[i]
		i = least
	}
	q.bytes -= bodyBytes(rec.Entry)
	return rec, true
}

func bodyBytes(e *Entry) int {
	n := 0
	if e.Body != nil {
		n += cap(e.Body.Data)
	}
	if e.Content != nil {
		n += cap(e.Content.Data)
	}
	for _, v := range e.Events {
		n += len(v.Data)
	}
	return n
}
