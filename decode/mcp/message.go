package mcp

import (
	"bytes"
	"strings"

	"github.com/tidwall/gjson"

	"mcp401/decode"
	"mcp401/decode/jsonrpc"
	"mcp401/decode/sse"
)

// text returns a cleaned copy of at most n bytes.
func (d *Decoder) text(b []byte, n int) string {
	s := d.texts.get(b, func() string { return clean(string(b), 200) })
	return cut(s, n)
}

// hashed is the keyed hash of a value, "" of none.
func (d *Decoder) hashed(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	return d.hashes.get(b, func() string { return d.hasher.hash(string(b)) })
}

// cred reads a credential field.
func (d *Decoder) cred(name, value []byte) Credential {
	d.scratch = append(append(append(d.scratch[:0], name...), 0), value...)
	return d.creds.get(d.scratch, func() Credential {
		return d.hasher.credential(string(name), string(value))
	})
}

// id returns an id as it may be shown: as sent, or hashed where it is long or
// looks like a secret. Equal ids stay equal.
func (d *Decoder) id(raw []byte) string {
	if raw == nil {
		return ""
	}
	if len(raw) <= 4 {
		return d.raw.str(raw)
	}
	s := string(bytes.Trim(raw, `"`))
	if cleanID(s) != s {
		return `"#` + d.hashed(raw) + `"`
	}
	return string(raw)
}

// readRequest tells what a request is about, once its body is over.
func (d *Decoder) readRequest(o *open) {
	x := &o.x
	b := &o.req
	if x.Method != "POST" {
		return
	}
	if b.mode == keep && x.Body.Whole {
		d.readPosted(o)
	} else if b.mode == peek && x.Body.Whole {
		o.readForm(b.buf)
	}
	if x.Kind == RPC && len(x.Requests) == 0 && !x.Body.JSON {
		d.fromHeaders(o)
	}
}

// readPosted reads a body that is whole.
func (d *Decoder) readPosted(o *open) {
	x, p := &o.x, o.req.buf
	if o.req.media == "application/x-www-form-urlencoded" {
		o.readForm(p)
		return
	}
	form := d.rpc.Parse(p, func(m *jsonrpc.Message) {
		if len(x.Requests) == d.lim.Messages {
			d.tooMany(o, x.AskedEnd)
			return
		}
		x.Requests = append(x.Requests, d.asked(o, m))
	})
	x.Body.JSON = form != jsonrpc.NotJSON
	switch {
	case form == jsonrpc.Single || form == jsonrpc.Batch:
		x.Kind = RPC
	case form == jsonrpc.NotJSON:
		if x.Body.Size > 0 {
			d.noteFor(o, decode.Note{Code: "mcp/bad-json", At: x.AskedEnd, Text: "the body of a request is no JSON"})
		}
	case x.Kind == LLM:
		x.LLMTools = readLLM(p)
	case x.Kind == RESTCall:
		d.restCall(o, p)
	case x.Kind == RESTTest:
		x.TestURL = cut(cleanURL(gjson.GetBytes(p, "url").String()), 300)
	case x.Kind == RPC && !o.mcpHead:
		x.Kind = Other // only its Accept looked like MCP
	}
}

func (d *Decoder) restCall(o *open, p []byte) {
	if id := gjson.GetBytes(p, "server_id"); id.Type == gjson.String && o.x.ServerID == "" {
		o.x.ServerID = cleanID(id.Str)
	}
}

// readForm takes the grant type of a token request, and nothing else.
func (o *open) readForm(p []byte) {
	for pair := range bytes.SplitSeq(p, []byte("&")) {
		name, value, _ := bytes.Cut(pair, []byte("="))
		if string(bytes.TrimSpace(name)) == "grant_type" {
			o.x.Kind = Token
			o.x.Grant = cleanForm(string(value))
			return
		}
	}
}

// fromHeaders takes the method of a request whose body was not seen from the
// fields that must equal it (MCP 2026-07-28, streamable HTTP).
func (d *Decoder) fromHeaders(o *open) {
	x := &o.x
	method := x.Headers["mcp-method"]
	if method == "" {
		return
	}
	m := Message{Kind: Request, At: x.AskedEnd, Method: method, Count: -1}
	if strings.HasPrefix(method, "notifications/") {
		m.Kind = Notification
	}
	if method == "tools/call" {
		m.Tool = x.Headers["mcp-name"]
	}
	x.Requests = []Message{m}
	if m.Kind == Request {
		o.waiting = append(o.waiting, "")
	}
}

// asked makes a Message of one that a client sent.
func (d *Decoder) asked(o *open, m *jsonrpc.Message) Message {
	out := d.message(o.x.AskedEnd, m)
	if out.Kind != Request && out.Kind != Notification {
		return out
	}
	if out.Kind == Request {
		o.waiting = append(o.waiting, out.ID)
	}
	d.params(o, out.Method, m.Params, &out)
	return out
}

// params reads what is needed of the params of a request.
func (d *Decoder) params(o *open, method string, params []byte, out *Message) {
	if len(params) < 3 || params[0] != '{' {
		return
	}
	x := &o.x
	gjson.ParseBytes(params).ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "name":
			if method == "tools/call" && v.Type == gjson.String {
				out.Tool = d.text([]byte(v.Str), 128)
			}
		case "cursor":
			out.Cursor = method == "tools/list" && v.Type != gjson.Null
		case "clientInfo":
			x.ClientName = d.text([]byte(v.Get("name").String()), 100)
		case "protocolVersion":
			if x.Version == "" {
				x.Version = d.text([]byte(v.String()), 32)
			}
		case "_meta":
			d.meta(x, v)
		}
		return true
	})
}

// meta reads params._meta of a request (MCP 2026-07-28, basic).
func (d *Decoder) meta(x *Exchange, meta gjson.Result) {
	meta.ForEach(func(k, v gjson.Result) bool {
		switch k.Str {
		case "traceparent":
			if x.Trace == "" {
				x.Trace, x.Parent = d.trace(v.String()), parseTraceParent([]byte(v.String()))
			}
		case "io.modelcontextprotocol/clientInfo":
			if x.ClientName == "" {
				x.ClientName = d.text([]byte(v.Get("name").String()), 100)
			}
		case "io.modelcontextprotocol/protocolVersion":
			if x.Version == "" {
				x.Version = d.text([]byte(v.String()), 32)
			}
		}
		return true
	})
}

// message makes a Message of an envelope. Where a message has a method it is a
// request whatever else it holds; an error counts before a result.
func (d *Decoder) message(at decode.Mark, m *jsonrpc.Message) Message {
	out := Message{At: at, ID: d.id(m.ID), Count: -1}
	switch {
	case m.Method != nil:
		out.Kind, out.Method = Request, d.text(m.Method, 64)
		if m.ID == nil {
			out.Kind = Notification
		}
	case m.Error != nil && string(m.Error) != "null" || m.Result == nil:
		out.Kind = Error
		d.readError(&out, m.Error)
	default:
		out.Kind = Result
		d.result(m).to(&out)
	}
	return out
}

// streamed takes an event of a response's stream.
func (d *Decoder) streamed(o *open, e sse.Event) {
	switch {
	case e.Cut:
		d.noteFor(o, decode.Note{Code: "sse/cut-event", At: e.At, Text: "the last event of a stream was not ended; no client took it"})
	case o.x.Kind == LLM:
		o.tally().event(e.Data)
	case string(e.Type) == "endpoint":
		d.endpoint(o, e.Data)
	case len(e.Data) > 0:
		if d.answers(o, e.At, e.Data, d.hashed(e.ID)) == jsonrpc.NotJSON {
			d.noteFor(o, decode.Note{Code: "mcp/bad-json", At: e.At, Text: "the data of an event is no JSON"})
		}
		// Told now, not behind the piece: a piece may hold several messages,
		// each with one mark, and how bytes are cut must not matter.
		if o.asked && len(o.x.Answers) > 0 && (o.told || o.x.Kind == Stream) {
			d.tell(o, e.At, Told)
		}
	}
}

// endpoint takes the session from the address that a server of the HTTP+SSE
// transport gives its client (MCP 2024-11-05, transports).
func (d *Decoder) endpoint(o *open, data []byte) {
	if o.x.Session == "" {
		o.x.Session = d.hashed([]byte(parseTarget(string(data[:min(len(data), 4096)])).session))
	}
}

// answers takes the messages of one text of a response.
func (d *Decoder) answers(o *open, at decode.Mark, text []byte, event string) jsonrpc.Form {
	return d.rpc.Parse(text, func(m *jsonrpc.Message) {
		out := d.message(at, m)
		out.EventID = event
		// Each sort has its own share, so that progress notifications without
		// end do not push the answer out.
		sort := 0
		if out.Kind == Request || out.Kind == Notification {
			sort = 1
		}
		if o.kept[sort] == d.lim.Messages {
			d.tooMany(o, at)
			return
		}
		o.kept[sort]++
		o.x.Answers = append(o.x.Answers, out)
		o.answer(&out)
	})
}

func (d *Decoder) tooMany(o *open, at decode.Mark) {
	d.noteFor(o, decode.Note{Code: "limit/messages", At: at, N: d.lim.Messages, Text: "an exchange holds more messages than are kept"})
}

// answer ticks off the request that a message answers. One request has one
// answer, whatever its id.
func (o *open) answer(m *Message) {
	if m.Kind != Result && m.Kind != Error || len(o.waiting) == 0 {
		return
	}
	if len(o.waiting) == 1 {
		o.waiting = o.waiting[:0]
	}
	for i, id := range o.waiting {
		if id == m.ID {
			o.waiting = append(o.waiting[:i], o.waiting[i+1:]...)
			break
		}
	}
	o.told = len(o.waiting) == 0
}

// readAnswer tells what a response says, once both sides are over.
func (d *Decoder) readAnswer(o *open) {
	x, b := &o.x, &o.resp
	switch {
	case o.llm != nil:
		x.REST = o.llm.rest()
	case b.mode == keep && x.Answer.Whole:
		d.readKept(o)
	case b.mode == peek && x.Status >= 400 && !x.Answer.HTML:
		x.Answer.AuthErr = speaksOfAuth(string(b.buf))
	}
}

// readKept reads a response body that was kept whole.
func (d *Decoder) readKept(o *open) {
	x, p := &o.x, o.resp.buf
	if x.Kind == RPC || x.Kind == Stream || x.Kind == End {
		form := d.answers(o, x.Ended, p, "")
		x.Answer.JSON = form != jsonrpc.NotJSON
		for i := range x.Answers {
			x.Answer.AuthErr = x.Answer.AuthErr || x.Answers[i].Kind == Error && x.Answers[i].AuthText
		}
		if form == jsonrpc.NotRPC {
			x.Answer.AuthErr = authError(gjson.ParseBytes(p))
		}
		if form == jsonrpc.NotJSON && !x.Answer.HTML && x.Answer.Size > 0 {
			d.noteFor(o, decode.Note{Code: "mcp/bad-json", At: x.Ended, Text: "the body of a response is no JSON"})
		}
		return
	}
	a := d.answer(x.Kind, jsonrpc.Trim(p))
	x.Answer.JSON, x.Answer.AuthErr, x.REST = a.json, a.authErr, a.rest
}

// An answered is what was made of the body of an answer outside JSON-RPC.
type answered struct {
	json, authErr bool
	rest          *REST // nobody writes to it
}

// answer reads such a body, or finds what was made of the same one before.
func (d *Decoder) answer(kind Kind, p []byte) (a answered) {
	key := func() []byte {
		d.scratch = append(append(d.scratch[:0], byte(kind)), p...)
		return d.scratch
	}
	if len(p) < answeredKept {
		if a, ok := d.answered.m[string(key())]; ok {
			return a
		}
	}
	if a.json = jsonrpc.Valid(p); a.json {
		root := gjson.ParseBytes(p)
		a.authErr, a.rest = authError(root), d.readREST(kind, root)
	}
	if len(p) < answeredKept {
		d.answered.put(key(), a)
	}
	return a
}

// answeredKept is how long a body may be to be remembered: a gateway's list of
// ten servers has 16 KiB, and its pages ask for it all the time.
const answeredKept = 32 << 10
