package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"mcp401/rules"
	"mcp401/rules/cause"
)

// Requests is every format of `mcp401 verify`. To add one, write a file that
// has a Writer of Case and Finding objects and put it here.
var Requests = []Format{
	{"sh", "a shell script of curl commands, to be read before it is run", newRequests},
}

// ReadFindings is Read for what may also be a single finding, or a line of a
// jsonl report: whatever has the fields of one.
func ReadFindings(r io.Reader, out func(Object) error) error {
	var head bytes.Buffer
	var one struct {
		Object
		Finding
	}
	dec := json.NewDecoder(io.TeeReader(r, &head))
	if err := dec.Decode(&one); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("not a report of mcp401: %w", err)
	}
	switch {
	case one.Object.Finding != nil:
		return out(Object{Finding: one.Object.Finding})
	case one.Rule != "" && one.Evidence != nil:
		return out(Object{Finding: &one.Finding})
	}
	return Read(io.MultiReader(&head, r), out)
}

// Bounds of the script.
const (
	blocksKept  = 1024 // findings with a block
	serversKept = 8    // upstreams asked in one block
)

// A requestsWriter writes, for each fingerprint once, the request that shows
// whether the finding is still there. What comes from the capture stands
// percent-encoded between quotes or in a comment; nothing of it that a shell
// would obey gets through, and no secret is in it: $KEY and $TOKEN stand for
// them.
type requestsWriter struct {
	w      io.Writer
	last   *Case
	seen   map[string]bool
	blocks bytes.Buffer
	n      int
	more   int
	token  bool // $TOKEN is wanted by a block
}

func newRequests(w io.Writer, _ Options) Writer {
	return &requestsWriter{w: w, seen: map[string]bool{}}
}

func (r *requestsWriter) Write(o Object) error {
	switch {
	case o.Case != nil:
		r.last = o.Case
	case o.Finding != nil:
		r.finding(o.Finding)
	}
	return nil
}

// finding adds the block of a finding that says something is wrong upstream.
func (r *requestsWriter) finding(f *Finding) {
	c := r.last
	if c == nil || c.Frame != f.CaseFrame {
		c = caseOf(f)
	}
	if rules.Severity(f.Severity).Rank() < rules.Warning.Rank() {
		return
	}
	id := cmp.Or(f.Fingerprint, strings.Join(append([]string{f.Rule, f.Cause, f.Failure, c.Kind, route(c.Path)}, f.Servers...), "\x00"))
	switch {
	case r.seen[id]:
		return
	case r.n >= blocksKept:
		r.more++
		return
	}
	r.seen[id] = true
	r.n++
	q := requestOf(c, f)
	r.line("")
	r.comment(strings.Join(slices.DeleteFunc([]string{f.Fingerprint, f.Rule, cmp.Or(f.Cause, f.Failure), strings.Join(f.Servers, ", ")}, func(s string) bool { return s == "" }), "  "))
	r.comment("was: " + c.HTTPMethod + " " + c.Path + " -> " + answered(c.Status, c.Tools) + fmt.Sprintf(" (frame %d)", f.CaseFrame))
	if len(f.Servers) > 0 {
		r.comment(goodWhen(f, c.Kind))
	}
	if strings.Contains(q.target, "%E2%80%A6") {
		r.comment("… in the address stands for what was left out of the report: put it in")
	}
	r.line("echo '== " + cause.Quotable(cmp.Or(f.Fingerprint, f.Rule)) + "'")
	r.line(q.command(c, f))
	r.upstreams(c, f)
	r.token = r.token || q.token
}

// goodWhen says how a mended route answers.
func goodWhen(f *Finding, kind string) string {
	who := strings.Join(f.Servers[:min(len(f.Servers), serversKept)], ", ")
	switch kind {
	case "call":
		return "good when: 200, and isError is not true"
	case "llm":
		return "good when: the tools of " + who + " are listed in the answer"
	}
	return "good when: 200, and the tools of " + who + " are in the list"
}

// caseOf is what a finding alone tells of its case.
func caseOf(f *Finding) *Case {
	c := &Case{Frame: f.CaseFrame, Kind: "list", Servers: f.Servers}
	for _, e := range f.Evidence {
		from, to, _ := strings.Cut(e.Flow, " > ")
		method, target := startLine(e.Excerpt)
		switch e.What {
		case "client request":
			c.HTTPMethod, c.Gateway, c.Client = method, to, from
			c.Path, _, _ = strings.Cut(target, "?")
		case "upstream request":
			name := ""
			if len(f.Servers) > 0 {
				name = f.Servers[min(len(c.Upstream), len(f.Servers)-1)]
			}
			path, _, _ := strings.Cut(target, "?")
			c.Upstream = append(c.Upstream, Attempt{Server: name, Address: to, URL: "http://" + to + path})
		}
	}
	switch {
	case f.Rule == "llm-without-tools":
		c.Kind = "llm"
	case f.Rule == "call-401":
		c.Kind = "call"
	}
	return c
}

// startLine reads the excerpt of a request.
func startLine(s string) (method, target string) {
	method, rest, _ := strings.Cut(s, " ")
	if i := strings.LastIndex(rest, " HTTP/"); i >= 0 {
		rest = rest[:i]
	}
	return method, rest
}

// A request is a downstream request to be made again.
type request struct {
	method string
	target string   // quotable: scheme, authority, path, query
	fields []string // quotable, without the secrets
	body   string   // as it stands in the command, quotes included
	token  bool     // the client's token goes with it
}

func requestOf(c *Case, f *Finding) request {
	q := request{method: "POST", token: !slices.Contains([]string{
		string(cause.StaticCredential), string(cause.TokenEndpointFailed),
	}, f.Cause) && f.Failure == ""}
	path := c.Path
	for _, e := range f.Evidence {
		if _, target := startLine(e.Excerpt); e.What == "client request" && strings.HasPrefix(target, path+"?") {
			path = target
		}
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	q.target = base(c) + cause.Quotable(path)
	named := slices.ContainsFunc(c.Servers, func(s string) bool { return strings.Contains(c.Path, s) })
	bare := strings.Trim(c.Path, "/") == "mcp"
	if len(c.Servers) > 0 && !named && bare {
		q.fields = append(q.fields, "x-mcp-servers: "+cause.Quotable(strings.Join(c.Servers, ",")))
	}
	if f.Rule == "unseen-upstream" {
		q.fields = append(q.fields, "x-litellm-mcp-debug: true")
	}
	q.ask(c)
	return q
}

// base is the scheme and authority of the gateway, quotable. It begins with a
// scheme whatever the report says, so that it is no option of curl.
func base(c *Case) string {
	authority := cmp.Or(c.Authority, c.Gateway, "GATEWAY")
	if c.Scheme == "https" || c.Scheme == "" && strings.HasSuffix(c.Gateway, ":443") {
		return "https://" + cause.Quotable(authority)
	}
	return "http://" + cause.Quotable(authority)
}

// ask fills in the body for the kind of route.
func (q *request) ask(c *Case) {
	server := "SERVER"
	if len(c.Servers) > 0 {
		server = strings.Join(c.Servers, ",")
	}
	tools := `"tools":[{"type":"mcp","server_label":"litellm","server_url":"litellm_proxy/mcp/` + cause.Quotable(server) + `","require_approval":"never"}]`
	const model = `{"model":"'"$MODEL"'",`
	switch {
	case c.HTTPMethod == "GET":
		q.method = "GET"
	case c.Kind == "llm" && strings.Contains(c.Path, "responses"):
		q.body = model + `"input":"hi",` + tools + `}`
	case c.Kind == "llm":
		q.body = model + `"max_tokens":16,"messages":[{"role":"user","content":"hi"}],` + tools + `}`
	case c.Kind == "call" && strings.HasPrefix(c.Path, "/mcp-rest/"):
		q.body = `{"server_id":"'"$SERVER_ID"'","name":"'"$TOOL"'","arguments":{}}`
	case c.Kind == "call":
		q.body = `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'"$TOOL"'","arguments":{}}}`
	default:
		q.body = `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`
	}
}

// command is the request as a command of a shell. -g: a bracket from a capture
// is no range that curl would walk through.
func (q *request) command(c *Case, f *Finding) string {
	var b strings.Builder
	b.WriteString("curl -sig '" + q.target + `' -H "x-litellm-api-key: Bearer $KEY"`)
	if c.Kind == "llm" {
		b.WriteString(` -H "Authorization: Bearer $KEY"`)
		q.token = false
	}
	if q.token {
		name := "Authorization"
		if f.Cause == string(cause.AliasMismatch) && len(f.Servers) > 0 {
			name = "x-mcp-" + cause.Quotable(f.Servers[0]) + "-authorization"
		}
		b.WriteString(` -H "` + name + `: Bearer $TOKEN"`)
	}
	for _, field := range q.fields {
		b.WriteString(" -H '" + field + "'")
	}
	if q.method == "POST" {
		b.WriteString(` -H 'Content-Type: application/json' -H 'Accept: application/json, text/event-stream' -d '` + q.body + `'`)
	}
	return b.String()
}

// upstreams adds how to ask each server at fault itself, where that tells more
// than the request through the gateway.
func (r *requestsWriter) upstreams(c *Case, f *Finding) {
	for _, name := range f.Servers[:min(len(f.Servers), serversKept)] {
		a := attemptAt(c, name)
		if a == nil || !strings.HasPrefix(a.URL, "http://") && !strings.HasPrefix(a.URL, "https://") {
			continue
		}
		v := cause.Values{Server: name, Alias: a.Server, URL: a.URL}
		verify := ""
		id := cmp.Or(a.Cause, f.Cause)
		if e, ok := cause.Lookup(cause.ID(id)); ok {
			if !strings.Contains(e.Verify, "{gateway}") {
				_, verify = e.Expand(v)
			}
		} else if e, ok := cause.LookupFailure(cmp.Or(f.Failure, a.Outcome)); ok && !strings.Contains(e.Verify, "{gateway}") {
			_, verify = e.Expand(v)
		}
		if verify == "" {
			continue
		}
		r.comment("on the gateway's host, " + name + " itself:")
		r.line(verify)
		r.token = r.token || strings.Contains(verify, "$TOKEN\"")
	}
}

func (r *requestsWriter) line(s string) { r.blocks.WriteString(s + "\n") }

// comment writes a line that a shell passes over: clean leaves no line end.
func (r *requestsWriter) comment(s string) { r.line("# " + clean(s)) }

func (r *requestsWriter) Close() error {
	var b bytes.Buffer
	b.WriteString("#!/bin/sh\n")
	if r.n == 0 {
		b.WriteString("# nothing to ask again: no finding at or above a warning\n")
		_, err := r.w.Write(b.Bytes())
		return err
	}
	b.WriteString("# Asks again what failed. KEY goes to the gateway, TOKEN to it and to upstreams:\n# read the addresses before you run it.\n")
	ask := func(name, what string) { b.WriteString(": \"${" + name + ":?" + what + "}\"\n") }
	ask("KEY", "set it to a key of the gateway")
	for _, v := range [][2]string{
		{"MODEL", "set it to a model that the gateway serves"}, {"SERVER_ID", "set it to the id of the server"},
		{"TOOL", "set it to the name of a tool that may be called"}, {"TOKEN_URL", "set it to the token endpoint"},
		{"CLIENT_ID", "set it to the client id of the gateway"}, {"CLIENT_SECRET", "set it to the client secret of the gateway"},
	} {
		if bytes.Contains(r.blocks.Bytes(), []byte("$"+v[0])) {
			ask(v[0], v[1])
		}
	}
	if r.token {
		ask("TOKEN", "set it to a token for the upstream that is asked")
	}
	if r.more > 0 {
		r.comment("and " + number(r.more) + " findings more")
	}
	b.Write(r.blocks.Bytes())
	_, err := r.w.Write(b.Bytes())
	return err
}
