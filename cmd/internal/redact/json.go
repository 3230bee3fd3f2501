package redact

import (
	"bytes"
	"encoding/base64"
	"strings"

	"github.com/tidwall/gjson"

	"mcp401/decode/httpmsg"
	"mcp401/decode/jsonrpc"
	"mcp401/decode/mcp"
)

// members says what may stay of the strings below JSON members that are known
// to be harmless, by the lower-case name. The strings of all others are
// blanked; numbers, booleans and structure stay. To add one, put it here.
var members = map[string]rule{
	"jsonrpc": measured, "method": proseful, "id": identity, "name": named, "server_name": named, "alias": named,
	"mcp_server_name": named, "server_label": named, "servers": named, "toolset_name": named, "model": named, "scope": named, "scopes": named, "scp": named,
	"scopes_supported": named, "server_id": identity, "protocolversion": measured, "version": measured,
	"io.modelcontextprotocol/protocolversion": measured, "supported": measured,
	"type": proseful, "status": proseful, "tag": proseful, "role": proseful, "object": proseful, "transport": proseful, "auth_type": proseful,
	"code": proseful, "error": proseful, "mimetype": proseful, "reason": proseful, "message": proseful, "detail": proseful, "details": proseful,
	"error_description": proseful, "msg": proseful, "token_type": proseful, "grant_type": proseful, "resulttype": proseful,
	"url": linked, "server_url": linked, "issuer": linked, "resource": linked, "resource_metadata": linked, "authorization_servers": linked,
	"authorization_endpoint": linked, "token_endpoint": linked, "registration_endpoint": linked, "iss": linked, "aud": linked,
	"grant_types_supported": proseful, "response_types_supported": proseful, "bearer_methods_supported": proseful,
	"nextcursor": secretly, "cursor": secretly, "requeststate": secretly,
}

// claimRules is members for the two objects of a JWT.
var claimRules = map[string]rule{
	"aud": linked, "iss": linked, "scope": named, "scp": named, "typ": proseful, "alg": proseful, "cty": proseful, "exp": measured, "nbf": measured, "iat": measured,
}

// payloads is the members whose contents are the user's: nothing below them
// stays, whatever it is called.
var payloads = set(`arguments structuredcontent content inputschema outputschema parameters input messages instructions text description
	annotations inputresponses schema`)

// A mode says where in a document a value stands.
type mode uint8

const (
	inMessage mode = iota
	inPayload      // what users and tools say
	inClaims       // a JWT: numbers go as well
	inFailure      // the content of a tool's failure: prose
)

// deepest bounds the nesting of what is walked; what is deeper is blanked.
const deepest = 128

// A walk masks one JSON text in place.
type walk struct {
	m       *Masker
	b       []byte
	rules   map[string]rule
	failing bool                                                             // isError is somewhere in it
	status  int                                                              // HAR: of the response in hand
	media   string                                                           // HAR: what the header fields of the message in hand say
	hook    func(w *walk, key string, from, to int, md mode, depth int) bool // takes a value in place of the walk
}

// json masks a JSON text that is valid.
func (m *Masker) json(b []byte) { m.jsonWith(b, members, inMessage) }

func (m *Masker) jsonWith(b []byte, rules map[string]rule, md mode) {
	w := walk{m: m, b: b, rules: rules, failing: bytes.Contains(b, []byte(`"isError"`))}
	w.value(w.space(0), "", md, 0)
}

// text masks what may be JSON or anything else.
func (m *Masker) text(b []byte, otherwise func([]byte)) {
	if p := jsonrpc.Trim(b); len(bytes.TrimLeft(p, " \t\r\n")) > 0 && strings.IndexByte(`{["`, bytes.TrimLeft(p, " \t\r\n")[0]) >= 0 && jsonrpc.Valid(p) {
		m.json(p)
		return
	}
	otherwise(b)
}

func (w *walk) space(i int) int {
	for i < len(w.b) && (w.b[i] == ' ' || w.b[i] == '\t' || w.b[i] == '\r' || w.b[i] == '\n') {
		i++
	}
	return i
}

// end returns where the string that begins at i ends, behind its quote.
func (w *walk) end(i int) int {
	for i++; i < len(w.b); i++ {
		switch w.b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(w.b)
}

// over returns where the value that begins at i ends.
func (w *walk) over(i int) int {
	depth := 0
	for i < len(w.b) {
		switch w.b[i] {
		case '"':
			i = w.end(i) - 1
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth < 0 {
				return i
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
		if depth == 0 && (w.b[i-1] == '"' || w.b[i-1] == '}' || w.b[i-1] == ']') {
			return i
		}
	}
	return i
}

// value masks the value at i, which stands below key, and returns its end.
func (w *walk) value(i int, key string, md mode, depth int) int {
	if i >= len(w.b) {
		return i
	}
	if depth > deepest {
		end := w.over(i)
		w.m.blank(w.b[i:end])
		return end
	}
	switch w.b[i] {
	case '{':
		return w.object(i, md, depth)
	case '[':
		return w.array(i, key, md, depth)
	case '"':
		end := w.end(i)
		inJSON(w.b[i+1:end-1], func(b []byte) { w.str(key, b, md, depth) })
		return end
	}
	end := w.over(i)
	if md == inClaims && w.rules[key] == blanked {
		for k, c := range w.b[i:end] {
			if digit(c) {
				w.b[i+k] = '1'
			}
		}
	}
	return end
}

func (w *walk) array(i int, key string, md mode, depth int) int {
	for i = w.space(i + 1); i < len(w.b) && w.b[i] != ']'; {
		i = w.space(w.value(i, key, md, depth+1))
		if i < len(w.b) && w.b[i] == ',' {
			i = w.space(i + 1)
		}
	}
	return min(i+1, len(w.b))
}

func (w *walk) object(i int, md mode, depth int) int {
	failed := md == inMessage && w.fails(i)
	for i = w.space(i + 1); i < len(w.b) && w.b[i] == '"'; {
		end := w.end(i)
		name := w.b[i+1 : end-1]
		var key string
		inJSON(name, func(b []byte) { key = strings.ToLower(string(b)) })
		w.key(name, key, md)
		i = w.space(end)
		i = w.space(min(i+1, len(w.b))) // the colon
		i = w.member(i, key, md, depth, failed)
		if i = w.space(i); i < len(w.b) && w.b[i] == ',' {
			i = w.space(i + 1)
		}
	}
	return min(i+1, len(w.b))
}

func (w *walk) member(i int, key string, md mode, depth int, failed bool) int {
	if w.hook != nil {
		if end := w.over(i); w.hook(w, key, i, end, md, depth) {
			return end
		}
	}
	switch {
	case md == inMessage && failed && key == "content":
		md = inFailure
	case md == inMessage && payloads[key] && w.rules[key] == blanked:
		md = inPayload
	}
	return w.value(i, key, md, depth+1)
}

// key masks the name of a member, which a user may have chosen.
func (w *walk) key(name []byte, low string, md mode) {
	if _, ok := w.rules[low]; !ok && md != inClaims {
		w.m.repeated(rules, name, func(b []byte) { inJSON(b, w.m.names) })
	}
}

// fails reports whether the object at i is the result of a tool that failed.
func (w *walk) fails(i int) bool {
	if !w.failing {
		return false
	}
	return gjson.GetBytes(w.b[i:w.over(i)], "isError").Type == gjson.True
}

// str masks the contents of a string.
func (w *walk) str(key string, b []byte, md mode, depth int) {
	r := w.rules[key]
	switch {
	case len(b) == 0:
	case nests(b) && depth < deepest:
		inner := walk{m: w.m, b: b, rules: w.rules, failing: bytes.Contains(b, []byte(`"isError"`))}
		inner.value(inner.space(0), key, md, depth+1)
	case r == blanked && mcp.IsSecretName(key), r == secretly:
		w.m.secret(b)
	case md == inFailure:
		w.m.apply(proseful, b)
	case md == inPayload:
		w.m.apply(blanked, b)
	case r == linked && bytes.HasPrefix(b, []byte("litellm_proxy")):
		w.m.path(b)
	case r == linked && !bytes.Contains(b, []byte("://")):
		w.m.names(b)
	default:
		w.m.apply(r, b)
	}
}

// nests reports whether a string holds a JSON object or array, as the texts of
// tools often do.
func nests(b []byte) bool {
	p := bytes.TrimLeft(b, " \t\r\n")
	return len(p) > 1 && (p[0] == '{' || p[0] == '[') && jsonrpc.Valid(b)
}

// body masks the content of a message whose type, and for an answer whose
// status, are known. Nothing of an unknown type stays.
func (m *Masker) body(media string, status int, b []byte) {
	media = httpmsg.MediaType(media)
	switch {
	case media == "text/event-stream":
		m.stream(b)
	case media == "application/x-www-form-urlencoded":
		m.form(b)
	case status >= 400:
		m.text(b, m.prose)
	case media == "text/html" || media == "application/xhtml+xml":
		m.each(b, func(low string) bool { return tags[low] }, 0)
	default:
		m.text(b, m.blank)
	}
}

// stream masks a text of server-sent events.
func (m *Masker) stream(b []byte) {
	from := 0
	for i := 0; i < len(b); {
		n := lineLen(b[i:])
		blank := len(bytes.TrimRight(b[i:i+n], "\r\n")) == 0
		i += n
		if blank {
			m.event(b[from:i])
			from = i
		}
	}
	m.event(b[from:])
}

// lineLen is the length of the first line of b with its end, which is LF, CR
// or both.
func lineLen(b []byte) int {
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0:
		return len(b)
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return i + 2
	}
	return i + 1
}

// event masks one event: its lines up to an empty one.
func (m *Masker) event(b []byte) {
	var data [][]byte
	var kind string
	for i := 0; i < len(b); {
		n := lineLen(b[i:])
		line := bytes.TrimRight(b[i:i+n], "\r\n")
		i += n
		line = bytes.TrimPrefix(line, []byte("\xef\xbb\xbf"))
		name, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case len(line) == 0:
		case !ok:
			if string(line) != "data" {
				m.blank(line)
			}
		case len(name) == 0:
			m.each(value, known, 4)
		case string(name) == "data":
			data = append(data, value)
		case string(name) == "event":
			kind = string(value)
			m.prose(value)
		case string(name) == "id":
			m.secret(value)
		case string(name) == "retry":
			m.each(value, nil, 10)
		default:
			m.blank(line)
		}
	}
	m.eventData(kind, data)
}

// eventData masks the data of an event, which may stand on several lines.
func (m *Masker) eventData(kind string, lines [][]byte) {
	b := bytes.Join(lines, []byte("\n"))
	switch {
	case len(b) == 0:
		return
	case kind == "endpoint":
		m.link(b)
	default:
		m.text(b, func(b []byte) { m.each(b, known, 3) })
	}
	for _, line := range lines {
		b = b[copy(line, b):]
		if len(b) > 0 {
			b = b[1:]
		}
	}
}

// harRules is members for what a HAR itself consists of (HAR 1.2).
var harRules = map[string]rule{
	"version": measured, "name": proseful, "method": proseful, "url": linked, "redirecturl": linked, "httpversion": measured, "statustext": proseful,
	"starteddatetime": stamped, "serveripaddress": hosted, "connection": measured, "_connectionid": measured, "pageref": identity, "id": identity,
	"_resourcetype": proseful, "_priority": proseful, "_fromcache": proseful, "mimetype": measured, "encoding": proseful, "_error": proseful,
	"_failuretext": proseful, "_charlesstatus": proseful, "_fetchtype": proseful, "type": proseful, "documenturl": linked, "title": linked,
	"_transfersize": measured, "_serverport": measured, "protocol": measured, "eventname": proseful, "eventid": secretly, "time": measured,
}

// Entry masks an entry of a HAR in place.
func (m *Masker) Entry(b []byte) { m.har("", b) }

// har masks a part of a HAR that stands below key: the version, the creator, a
// page, an entry.
func (m *Masker) har(key string, b []byte) {
	w := walk{m: m, b: b, rules: harRules, hook: harHook}
	w.value(w.space(0), strings.ToLower(key), inMessage, 0)
}

// harHook takes the members of an entry that need another look than their
// name: lists of names and values, and bodies.
func harHook(w *walk, key string, from, to int, md mode, depth int) bool {
	switch key {
	case "request", "response":
		v := gjson.ParseBytes(w.b[from:to])
		w.status, w.media = int(v.Get("status").Int()), contentType(v)
		return false
	case "headers", "querystring", "cookies", "params":
		w.pairs(key, from, to)
	case "content", "postdata":
		w.harBody(from, to)
	case "_eventsourcemessages", "_websocketmessages":
		w.harEvents(from, to)
	case "comment", "_initiator", "_initiator_detail", "_securitydetails", "cache":
		inner := walk{m: w.m, b: w.b[from:to], rules: map[string]rule{"url": linked, "type": proseful}}
		inner.value(0, "", inMessage, depth+1)
	default:
		return false
	}
	return true
}

// pairs masks a list of objects with name and value, or an object of them.
func (w *walk) pairs(key string, from, to int) {
	inner := walk{m: w.m, b: w.b[from:to], rules: map[string]rule{"path": linked, "domain": hosted, "samesite": proseful, "expires": stamped, "contenttype": measured}}
	name := func(v gjson.Result) string { return v.Get("name").String() }
	if len(inner.b) > 0 && inner.b[0] == '{' {
		inner.hook = func(in *walk, key2 string, from, to int, _ mode, _ int) bool {
			in.pair(key, key2, from, to)
			return true
		}
		inner.value(0, "", inMessage, 0)
		return
	}
	var current string
	inner.hook = func(in *walk, member string, from, to int, _ mode, depth int) bool {
		switch member {
		case "name":
			if in.b[from] == '"' {
				inJSON(in.b[from+1:to-1], in.m.fieldName)
			}
		case "value":
			in.pair(key, current, from, to)
		default:
			return false
		}
		return true
	}
	// Each object by itself: its name may stand behind its value.
	for i := inner.space(1); i < len(inner.b) && inner.b[i] != ']'; {
		end := inner.over(i)
		current = name(gjson.ParseBytes(inner.b[i:end]))
		inner.value(i, "", inMessage, 0)
		if i = inner.space(end); i < len(inner.b) && inner.b[i] == ',' {
			i = inner.space(i + 1)
		}
	}
}

// pair masks one value of a list, by its name.
func (w *walk) pair(list, name string, from, to int) {
	if w.b[from] != '"' {
		w.value(from, "", inPayload, 0)
		return
	}
	inJSON(w.b[from+1:to-1], func(b []byte) {
		switch list {
		case "headers":
			// DevTools joins equal fields with line ends.
			for i := 0; i < len(b); {
				n := lineLen(b[i:])
				w.m.header(strings.ToLower(name), bytes.TrimRight(b[i:i+n], "\r\n"))
				i += n
			}
		case "cookies":
			w.m.seen.add(b)
			w.m.standIn(b)
		default:
			r := parameterRule(name)
			inQuery(b, func(b []byte) { w.m.apply(r, b) })
		}
	})
}

// contentType returns the Content-Type field of a message of a HAR.
func contentType(v gjson.Result) string {
	media := ""
	v.Get("headers").ForEach(func(_, f gjson.Result) bool {
		if strings.EqualFold(f.Get("name").String(), "content-type") {
			media = strings.Clone(f.Get("value").String())
		}
		return media == ""
	})
	return media
}

// harBody masks postData or content.
func (w *walk) harBody(from, to int) {
	b := w.b[from:to]
	v := gjson.ParseBytes(b)
	media, coded := w.media, strings.EqualFold(v.Get("encoding").String(), "base64")
	if media == "" {
		media = strings.Clone(v.Get("mimeType").String())
	}
	inner := walk{m: w.m, b: b, rules: harRules}
	inner.hook = func(in *walk, key string, from, to int, md mode, depth int) bool {
		switch key {
		case "params":
			in.pairs(key, from, to)
		case "text":
			if in.b[from] != '"' {
				return false
			}
			inJSON(in.b[from+1:to-1], func(b []byte) {
				f := func(b []byte) { in.m.body(media, w.status, b) }
				if coded {
					in.m.encoded(b, base64.StdEncoding, f)
				} else {
					f(b)
				}
			})
		default:
			return false
		}
		return true
	}
	inner.value(0, "", inMessage, 0)
}

// harEvents masks the events or frames that an exporter kept.
func (w *walk) harEvents(from, to int) {
	inner := walk{m: w.m, b: w.b[from:to], rules: harRules}
	inner.hook = func(in *walk, key string, from, to int, _ mode, _ int) bool {
		if key != "data" || in.b[from] != '"' {
			return false
		}
		inJSON(in.b[from+1:to-1], func(b []byte) { in.m.text(b, func(b []byte) { in.m.each(b, known, 3) }) })
		return true
	}
	inner.value(0, "", inMessage, 0)
}
