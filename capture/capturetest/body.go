package capturetest

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// pieces turns the lines of a block into what is sent of the body: one piece
// for each event of an sse message, one for the whole block otherwise.
func (p *parser) pieces(x *exchange, m *message, lines []string) ([]string, error) {
	if m.sse() {
		return p.events(x, m, lines)
	}
	var out []string
	verbatim := false
	for _, l := range lines {
		if l == "" {
			verbatim = true // what follows an empty line inside a body is text
		}
		if !verbatim && shorthand.MatchString(l) {
			text, err := p.expand(x, m, l)
			if err != nil {
				return nil, err
			}
			l = text
		}
		p.learn(x, m, l)
		out = append(out, l)
	}
	if len(out) == 0 {
		return nil, nil
	}
	return []string{strings.Join(out, "\n")}, nil
}

func (p *parser) events(x *exchange, m *message, lines []string) ([]string, error) {
	var out []string
	raw := ""
	flush := func() {
		if raw != "" {
			out = append(out, raw+"\r\n")
			raw = ""
		}
	}
	for _, l := range lines {
		switch {
		case l == "":
			flush()
		case sseField.MatchString(l):
			raw += l + "\r\n"
		case l == "ping":
			flush()
			out = append(out, ": ping - 2026-11-23 08:00:00.000000+00:00\r\n\r\n")
		case shorthand.MatchString(l), l[0] == '{', l[0] == '[':
			flush()
			text, err := p.expand(x, m, l)
			if err != nil {
				return nil, err
			}
			p.learn(x, m, text)
			out = append(out, "event: message\r\ndata: "+text+"\r\n\r\n")
		default:
			return nil, fmt.Errorf("not an event: %q", l)
		}
	}
	flush()
	return out, nil
}

// learn remembers the id of a request, for its answer, and that a body is
// JSON-RPC.
func (p *parser) learn(x *exchange, m *message, text string) {
	var msg struct {
		ID     json.RawMessage `json:"id"`
		RPC    string          `json:"jsonrpc"`
		Method string          `json:"method"`
	}
	if json.Unmarshal([]byte(text), &msg) != nil || msg.RPC == "" {
		return
	}
	m.rpc = true
	if msg.Method != "" && m.dir == toServer && msg.ID != nil {
		x.id = string(msg.ID)
		p.ids[x.conn.hosts()] = x.id
	}
}

// answers returns the id that an answer in that exchange has. On a stream that
// nobody asked anything on (HTTP+SSE) it is the last one between the two hosts.
func (p *parser) answers(x *exchange) (string, error) {
	if x == nil {
		return "", fmt.Errorf("nothing was asked on this connection")
	}
	if x.id != "" {
		return x.id, nil
	}
	if id := p.ids[x.conn.hosts()]; id != "" {
		return id, nil
	}
	return "", fmt.Errorf("which request does it answer? give id=")
}

// expand writes out a shorthand line.
func (p *parser) expand(x *exchange, m *message, line string) (string, error) {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "rpc":
		return request(rest)
	case "result", "error":
		id, rest, err := p.answerID(x, rest)
		if err != nil {
			return "", err
		}
		if word == "error" {
			return rpcError(id, rest)
		}
		text, err := result(rest)
		return `{"jsonrpc":"2.0","id":` + id + `,"result":` + text + `}`, err
	case "rest":
		return restAnswer(rest)
	case "fill":
		n, err := positive(rest)
		return strings.Repeat("0123456789abcdef", n/16+1)[:max(n, 0)], err
	}
	return line, nil
}

func (p *parser) answerID(x *exchange, rest string) (id, tail string, err error) {
	if v, ok := strings.CutPrefix(rest, "id="); ok {
		id, tail, _ = strings.Cut(v, " ")
		if !json.Valid([]byte(id)) {
			return "", "", fmt.Errorf("an id is a JSON number, string or null: %q", id)
		}
		return id, strings.TrimSpace(tail), nil
	}
	id, err = p.answers(x)
	return id, rest, err
}

const initializeParams = `{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"mcp","version":"0.1.0"}}`

// request is a JSON-RPC request, or a notification where there is no id.
func request(text string) (string, error) {
	method, rest, _ := strings.Cut(text, " ")
	if method == "" {
		return "", fmt.Errorf("rpc needs a method")
	}
	id, params, _ := strings.Cut(strings.TrimSpace(rest), " ")
	params = strings.TrimSpace(params)
	if id != "" && !json.Valid([]byte(id)) {
		return "", fmt.Errorf("an id is a JSON number, string or null: %q", id)
	}
	switch {
	case params != "" && json.Valid([]byte(params)):
	case params != "" && method == "tools/call":
		params = `{"name":` + quote(params) + `,"arguments":{}}`
	case params != "":
		return "", fmt.Errorf("params are not JSON: %q", params)
	case method == "initialize":
		params = initializeParams
	}
	out := `{"jsonrpc":"2.0"`
	if id != "" {
		out += `,"id":` + id
	}
	out += `,"method":` + quote(method)
	if params != "" {
		out += `,"params":` + params
	}
	return out + `}`, nil
}

// result is the value of "result".
func result(text string) (string, error) {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "tools":
		return toolsResult(strings.Fields(rest))
	case "init":
		return `{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":false}},"serverInfo":{"name":` + quote(rest) + `,"version":"1.0.0"}}`, nil
	case "text":
		return `{"content":[{"type":"text","text":` + quote(rest) + `}],"isError":false}`, nil
	case "fail":
		return `{"content":[{"type":"text","text":` + quote(rest) + `}],"isError":true}`, nil
	}
	if json.Valid([]byte(text)) {
		return text, nil
	}
	return "", fmt.Errorf("unknown result %q: tools, init, text, fail or JSON", text)
}

func toolsResult(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("tools needs a count or names")
	}
	list, err := tools(words[0], "")
	if err != nil {
		return "", err
	}
	out := `{`
	next := ""
	for words = words[1:]; len(words) > 0; {
		switch {
		case words[0] == "meta":
			meta, err := outcomes(words[1:])
			if err != nil {
				return "", err
			}
			out += `"_meta":` + meta + `,`
			words = nil
		case words[0] == "next" && len(words) > 1:
			next = `,"nextCursor":` + quote(words[1])
			words = words[2:]
		default:
			return "", fmt.Errorf("unknown word %q: next CURSOR, meta SERVER=STATUS", words[0])
		}
	}
	return out + `"tools":` + list + next + `}`, nil
}

// tools is an array of tools: so many, or of those names. With a server each
// tool says that it is from there, as the REST list does.
func tools(spec, server string) (string, error) {
	names := strings.Split(spec, ",")
	if n, err := strconv.Atoi(spec); err == nil {
		if n < 0 || n > most {
			return "", fmt.Errorf("not a count: %q", spec)
		}
		names = names[:0]
		for i := range n {
			names = append(names, "tool_"+strconv.Itoa(i+1))
		}
	}
	for i, name := range names {
		info := ""
		if server != "" {
			info = `,"mcp_info":{"server_name":` + quote(server) + `}`
		}
		names[i] = `{"name":` + quote(name) + `,"description":"Does a thing.","inputSchema":{"type":"object"}` + info + `}`
	}
	return `[` + strings.Join(names, ",") + `]`, nil
}

// outcomes is LiteLLM's _meta: SERVER=STATUS[/HTTP][:COUNT] for each server.
func outcomes(words []string) (string, error) {
	if len(words) == 0 {
		return "", fmt.Errorf("meta needs SERVER=STATUS")
	}
	for i, w := range words {
		server, status, ok := strings.Cut(w, "=")
		if !ok {
			return "", fmt.Errorf("not SERVER=STATUS: %q", w)
		}
		status, count, counted := strings.Cut(status, ":")
		status, code, coded := strings.Cut(status, "/")
		v := quote(server) + `:{"status":` + quote(status)
		if coded {
			v += `,"http_status":` + code
		}
		if counted {
			v += `,"tool_count":` + count
		}
		words[i] = v + `}`
	}
	out := `{"litellm.ai/server_outcomes":{` + strings.Join(words, ",") + `}}`
	if !json.Valid([]byte(out)) {
		return "", fmt.Errorf("not numbers: %s", out)
	}
	return out, nil
}

func rpcError(id, text string) (string, error) {
	code, message, _ := strings.Cut(text, " ")
	if _, err := strconv.Atoi(code); err != nil {
		return "", fmt.Errorf("not an error code: %q", code)
	}
	data := ""
	if before, after, ok := strings.Cut(message, " meta "); ok {
		meta, err := outcomes(strings.Fields(after))
		if err != nil {
			return "", err
		}
		message, data = before, `,"data":`+meta
	}
	return `{"jsonrpc":"2.0","id":` + id + `,"error":{"code":` + code + `,"message":` + quote(message) + data + `}}`, nil
}

// restAnswer is the body of LiteLLM's REST tools list.
func restAnswer(text string) (string, error) {
	words := strings.Fields(text)
	switch {
	case len(words) >= 2 && words[0] == "error":
		return `{"tools":[],"error":` + quote(words[1]) + `,"message":` + quote(strings.Join(words[2:], " ")) + `}`, nil
	case len(words) == 2 && words[0] == "tools", len(words) == 4 && words[0] == "tools" && words[2] == "from":
		server := ""
		if len(words) == 4 {
			server = words[3]
		}
		list, err := tools(words[1], server)
		return `{"tools":` + list + `,"error":null,"message":"Successfully retrieved tools"}`, err
	}
	return "", fmt.Errorf("unknown rest answer %q: tools N [from SERVER], error CODE TEXT", text)
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("internal error: a string is always JSON: " + err.Error())
	}
	return string(b)
}
