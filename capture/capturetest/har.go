package capturetest

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"mcp401/capture"
)

// har writes a HAR of the exchanges. What a packet capture misses a HAR has:
// of the mishaps only a lost request (no entry), a lost answer (status 0) and a
// gap in a body (no text) show.
func (c *Conversation) har(w Wrap) *Capture {
	at := c.timesOf()
	var rows []harRow
	ends := c.endpoints(w)
	for _, x := range c.conns {
		if !c.sees(w.Hop, x) {
			continue
		}
		for _, e := range x.exchanges {
			if e.request == nil || at[e.request].lost {
				continue
			}
			rows = append(rows, harRow{at[e.request].begin, e})
		}
	}
	slices.SortStableFunc(rows, func(a, b harRow) int { return int(a.at - b.at) })
	out := &Capture{Expect: c.Expect()}
	for _, row := range rows {
		entry := row.exchange.entry(w, at, ends[row.exchange.conn.server])
		out.Records = append(out.Records, capture.Record{Num: len(out.Records) + 1, Time: c.start.Add(row.at), Entry: entry})
	}
	if w.Mix {
		out.Records = Mix(out.Records, unrelated().har(Wrap{IPv6: w.IPv6, Loopback: w.Loopback}).Records)
	}
	c.expectEntries(out, rows)
	out.Bytes = pack(WriteHAR(out.Records), w.Compress)
	return out
}

type harRow struct {
	at       time.Duration
	exchange *exchange
}

// A lifetime is when a message began and ended.
type lifetime struct {
	begin, end time.Duration
	lost       bool
	expect     int
}

func (c *Conversation) timesOf() map[*message]lifetime {
	out := map[*message]lifetime{}
	for _, s := range c.steps {
		if s.msg == nil {
			continue
		}
		l := out[s.msg]
		if s.kind == doHead {
			l = lifetime{begin: s.at, lost: s.lost, expect: s.expect}
		}
		l.end = s.at
		out[s.msg] = l
	}
	return out
}

// expectEntries finds the entry of each expectation.
func (c *Conversation) expectEntries(out *Capture, rows []harRow) {
	at := c.timesOf()
	nums := map[time.Duration][]int{}
	for _, r := range out.Records {
		nums[r.Time.Sub(c.start)] = append(nums[r.Time.Sub(c.start)], r.Num)
	}
	for _, row := range rows {
		for _, m := range []*message{row.exchange.request, row.exchange.response} {
			if m != nil && at[m].expect != 0 {
				out.Expect[at[m].expect-1].Frame = nums[row.at][0]
			}
		}
	}
}

// entry is the exchange as a HAR entry.
func (x *exchange) entry(w Wrap, at map[*message]lifetime, server netip.AddrPort) *capture.Entry {
	q, a, authority := x.request, x.response, server.String()
	scheme, proto := "http://", q.proto
	if w.TLS != 0 {
		scheme = "https://"
	}
	if w.HTTP2 {
		proto = "2"
	}
	e := &capture.Entry{
		Creator: "capturetest", Server: server.Addr().String(), Connection: strconv.Itoa(int(x.conn.client.Port())),
		Took: -1, Wait: -1, Size: -1,
		Method: q.method, URL: scheme + authority + q.target, Proto: proto,
	}
	if host, ok := q.get("host"); ok {
		e.URL = scheme + host + q.target
	}
	body := strings.Join(q.pieces, "")
	e.Request = harFields(q.allFields(authority, len(body)))
	if body != "" {
		e.Body = &capture.Body{Data: []byte(body), MIME: valueOf(e.Request, "content-type")}
	}
	if a == nil || at[a].lost {
		e.Error = "net::ERR_EMPTY_RESPONSE"
		return e
	}
	text := strings.Join(a.pieces, "")
	e.Status, e.Reason = a.status, a.reason
	e.Response = harFields(a.allFields(authority, len(text)))
	e.MIME = valueOf(e.Response, "content-type")
	e.Redirect = valueOf(e.Response, "location")
	e.Size = int64(len(text) + a.missing)
	if a.missing == 0 {
		e.Content = &capture.Body{Data: []byte(text), MIME: e.MIME}
	}
	if !a.finished {
		e.Error = "net::ERR_ABORTED"
	}
	e.Wait, e.Took = at[a].begin-at[q].begin, at[a].end-at[q].begin
	return e
}

func harFields(fields []field) []capture.Field {
	var out []capture.Field
	for _, f := range fields {
		out = append(out, capture.Field{Name: f.name, Value: f.value})
	}
	return out
}

func valueOf(fields []capture.Field, name string) string {
	for _, f := range fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

type pair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// WriteHAR writes the entries among the records as a HAR 1.2 file.
func WriteHAR(records []capture.Record) []byte {
	type object = map[string]any
	entries := []object{}
	for _, r := range records {
		e := r.Entry
		if e == nil {
			continue
		}
		request := object{
			"method": e.Method, "url": e.URL, "httpVersion": "HTTP/" + e.Proto, "headers": pairs(e.Request),
			"queryString": query(e.URL), "cookies": []pair{}, "headersSize": -1, "bodySize": -1,
		}
		if e.Body != nil {
			request["bodySize"] = len(e.Body.Data)
			request["postData"] = object{"mimeType": e.Body.MIME, "text": string(e.Body.Data)}
		}
		content := object{"size": e.Size, "mimeType": e.MIME}
		if e.Content != nil {
			content["text"] = string(e.Content.Data)
		}
		response := object{
			"status": e.Status, "statusText": e.Reason, "httpVersion": "HTTP/" + e.Proto, "headers": pairs(e.Response),
			"cookies": []pair{}, "content": content, "redirectURL": e.Redirect, "headersSize": -1, "bodySize": -1,
		}
		if e.Error != "" {
			response["_error"] = e.Error
		}
		entries = append(entries, object{
			"startedDateTime": r.Time.UTC().Format("2006-01-02T15:04:05.000Z"),
			"time":            millis(e.Took), "request": request, "response": response, "cache": object{},
			"timings":         object{"send": 0, "wait": millis(e.Wait), "receive": max(0, millis(e.Took)-millis(e.Wait))},
			"serverIPAddress": e.Server, "connection": e.Connection,
		})
	}
	b, err := json.MarshalIndent(object{"log": object{
		"version": "1.2", "creator": object{"name": "capturetest", "version": "1"}, "entries": entries,
	}}, "", " ")
	must(0, err)
	return append(b, '\n')
}

// millis is a HAR duration; -1 stands for none.
func millis(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return float64(d) / float64(time.Millisecond)
}

func pairs(fields []capture.Field) []pair {
	out := []pair{}
	for _, f := range fields {
		out = append(out, pair(f))
	}
	return out
}

func query(target string) []pair {
	out := []pair{}
	u, err := url.Parse(target)
	if err != nil {
		return out
	}
	for _, kv := range strings.Split(u.RawQuery, "&") {
		if name, value, _ := strings.Cut(kv, "="); name != "" {
			out = append(out, pair{name, value})
		}
	}
	return out
}
