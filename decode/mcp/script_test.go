package mcp

import (
	"bytes"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

var update = flag.Bool("update", false, "write what the scripts give into their files")

// A script is a conversation at the level of HTTP events:
//
//	> POST /mcp/           head of a request; fields follow, indented
//	< 200                  head of a response
//	| text                 a piece of content of the last message, with a line end
//	|- text                the same without
//	>|- text               the same, of the request, whatever came before
//	>.  <.                 the message is whole
//	> absent.  < absent.   the same, and its content was not recorded
//	!> !<                  a hole in the content
//	x> reset  x< fin       the message is cut; without a word: by a hole
//	end> fin  end< reset   a direction of the connection is over
//	@ 2                    what follows is exchange 2 of the connection
//	har                    what follows comes from a HAR
//
// Each line is one frame, and one second later than the line before.
type player struct {
	d     *Decoder
	flow  decode.Flow
	id    httpmsg.ID
	dir   decode.Dir
	frame int
	har   bool
	cuts  func(p []byte) [][]byte // how pieces are cut further; nil: not
	out   []*Exchange
	notes []decode.Note
}

func start() time.Time { return time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC) }

func newPlayer(cfg Config) *player {
	p := &player{
		id: httpmsg.ID{Flow: 1, Stream: 1},
		flow: decode.Flow{First: 1, Start: start(),
			Client: netip.MustParseAddrPort("10.0.0.1:4711"), Server: netip.MustParseAddrPort("10.0.0.2:4000")},
	}
	p.d = New(cfg, func(_ decode.Mark, x *Exchange) { p.out = append(p.out, x) }, func(n decode.Note) { p.notes = append(p.notes, n) })
	return p
}

func (p *player) mark() decode.Mark {
	return decode.Mark{Frame: p.frame, Time: start().Add(time.Duration(p.frame) * time.Second)}
}

func (p *player) event(e httpmsg.Event) {
	e.ID, e.At, e.Dir = p.id, p.mark(), p.dir
	p.d.Event(&p.flow, false, p.har, &e)
}

func (p *player) piece(s string) {
	pieces := [][]byte{[]byte(s)}
	if p.cuts != nil {
		pieces = p.cuts(pieces[0])
	}
	for _, b := range pieces {
		b = bytes.Clone(b)
		p.event(httpmsg.Event{Kind: httpmsg.Body, Data: b})
		for i := range b {
			b[i] = '#' // the storage is the caller's
		}
	}
}

var ends = map[string]decode.End{"": 0, "fin": decode.Fin, "reset": decode.Reset, "timeout": decode.Timeout, "cut": decode.Cut}

func (p *player) play(script string) {
	lines := strings.Split(strings.TrimSuffix(script, "\n"), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		word, rest, _ := strings.Cut(line, " ")
		if line == "" || line[0] == '#' {
			continue
		}
		p.frame++
		switch word {
		case ">", "<":
			p.dir = decode.ToServer
			if word == "<" {
				p.dir = decode.ToClient
			}
			if rest == "absent." {
				p.event(httpmsg.Event{Kind: httpmsg.Done, Absent: true})
				continue
			}
			n := i + 1
			for n < len(lines) && strings.HasPrefix(lines[n], "  ") {
				n++
			}
			p.head(rest, lines[i+1:n])
			i = n - 1
		case ">.", "<.":
			p.dir = direction(word[:1])
			p.event(httpmsg.Event{Kind: httpmsg.Done})
		case "|":
			p.piece(rest + "\n")
		case "|-":
			p.piece(rest)
		case ">|-":
			p.dir = decode.ToServer
			p.piece(rest)
		case "!>", "!<":
			p.dir = direction(word[1:])
			p.event(httpmsg.Event{Kind: httpmsg.Hole, N: 100})
		case "x>", "x<":
			p.dir = direction(word[1:])
			why, text, _ := strings.Cut(rest, " ")
			p.event(httpmsg.Event{Kind: httpmsg.Cut, Why: ends[why], Error: text})
		case "end>", "end<":
			p.d.End(&p.flow, direction(word[3:]), p.mark(), ends[rest])
		case "@":
			n, _ := strconv.Atoi(rest)
			p.id.Stream = uint32(n)
			p.frame--
		case "har":
			p.har = true
			p.frame--
		default:
			panic("script: " + line)
		}
	}
}

func direction(arrow string) decode.Dir {
	if arrow == "<" {
		return decode.ToClient
	}
	return decode.ToServer
}

func (p *player) head(start string, fields []string) {
	e := httpmsg.Event{Kind: httpmsg.Head, From: p.mark(), Proto: "1.1", Decoded: p.har}
	if p.dir == decode.ToServer {
		e.Method, e.Target, _ = strings.Cut(start, " ")
		e.Scheme = "http"
	} else {
		e.Status, _ = strconv.Atoi(start)
		e.Interim = e.Status >= 100 && e.Status < 200
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(strings.TrimSpace(f), ":")
		value = strings.TrimSpace(value)
		if strings.EqualFold(name, "host") {
			e.Authority = value
		}
		e.Header = append(e.Header, httpmsg.Field{Name: []byte(name), Value: []byte(value)})
	}
	p.event(e)
}

var phases = map[Phase]string{Asked: "asked", Told: "told", Closed: "closed"}

var kinds = map[Kind]string{Other: "other", RPC: "rpc", Stream: "stream", End: "end", RESTList: "rest-list", RESTCall: "rest-call",
	RESTTest: "rest-test", Inventory: "inventory", Health: "health", LLM: "llm", Token: "token", Discovery: "discovery", Preflight: "preflight"}

// tell writes an exchange in lines: what the phase is about, and each thing
// that is set.
func tell(x *Exchange) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s %s", phases[x.Phase], kinds[x.Kind], x.Method, x.Path)
	if x.Query != "" {
		fmt.Fprintf(&b, "?%s", x.Query)
	}
	fmt.Fprintf(&b, " %d-%d", x.Asked.Frame, x.AskedEnd.Frame)
	if x.Phase != Asked {
		fmt.Fprintf(&b, " -> %d %d-%d", x.Status, x.Head.Frame, x.Ended.Frame)
	}
	b.WriteByte('\n')
	put := func(name string, v any) {
		if s := fmt.Sprint(v); s != "" && s != "[]" && s != "map[]" && s != "0" && s != "false" {
			fmt.Fprintf(&b, "  %s %s\n", name, s)
		}
	}
	if x.Phase == Asked {
		put("authority", x.Authority)
		put("version", x.Version)
		put("session", x.Session)
		put("last-event", x.LastEvent)
		put("trace", x.Trace)
		if p := x.Parent; p != (TraceParent{}) {
			put("parent", fmt.Sprintf("%x %x %02x", p.Trace, p.Span, p.Flags))
		}
		put("servers", x.Servers)
		put("server-id", x.ServerID)
		put("client", x.ClientName)
		put("headers", pairs(x.Headers))
		put("grant", x.Grant)
		put("test-url", x.TestURL)
		put("body", state(x.Body))
		if x.Kind == LLM {
			put("llm", fmt.Sprintf("%+v", x.LLMTools))
		}
		for _, c := range x.Creds {
			put("cred", credential(c))
		}
		for _, m := range x.Requests {
			put("request", message(m))
		}
	} else {
		put("session", x.Session)
		put("type", x.ContentType)
		put("location", x.Location)
		put("headers", pairs(x.RespHeaders))
		for _, c := range x.Challenges {
			put("challenge", fmt.Sprintf("%+v", c))
		}
		for _, m := range x.Answers {
			put("answer", message(m))
		}
		if x.REST != nil {
			put("rest", fmt.Sprintf("%+v", *x.REST))
		}
	}
	if x.Phase == Closed {
		put("body", state(x.Answer))
		put("how", x.How)
		put("aborted", x.Aborted)
		put("error", x.Error)
	}
	put("hole", x.Hole)
	return b.String()
}

func pairs(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	sort.Strings(out)
	return strings.Join(out, "; ")
}

func state(s BodyState) string {
	out := []string{}
	if s.Size > 0 {
		out = append(out, strconv.Itoa(s.Size))
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{s.Whole, "whole"}, {s.Unkept, "unkept"}, {s.Absent, "absent"}, {s.HTML, "html"}, {s.JSON, "json"}, {s.AuthErr, "auth-error"}} {
		if f.on {
			out = append(out, f.name)
		}
	}
	return strings.Join(out, " ")
}

func credential(c Credential) string {
	s := fmt.Sprintf("%s %q #%s whole #%s %d %s", c.Header, c.Scheme, c.Hash, c.Whole, c.Len, c.Class)
	for i, name := range []string{"doubled", "no-scheme", "empty", "non-ascii", "quoted", "templated"} {
		if c.Flaws&(1<<i) != 0 {
			s += " " + name
		}
	}
	if c.JWT != nil {
		s += fmt.Sprintf(" exp %s aud %q iss %q scope %q typ %q", c.JWT.Exp.Format(time.RFC3339Nano), c.JWT.Aud, c.JWT.Iss, c.JWT.Scope, c.JWT.Typ)
	}
	return s
}

func message(m Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s id=%s at %d", []string{"?", "request", "notification", "result", "error"}[m.Kind], m.ID, m.At.Frame)
	put := func(name string, v any, on bool) {
		if on {
			fmt.Fprintf(&b, " %s=%v", name, v)
		}
	}
	put("method", m.Method, m.Method != "")
	put("tool", m.Tool, m.Tool != "")
	put("cursor", m.Cursor, m.Cursor)
	put("event", m.EventID, m.EventID != "")
	put("tools", fmt.Sprint(m.Count, m.Tools), m.Count >= 0)
	put("next", m.Next, m.Next)
	put("isError", m.IsError, m.IsError)
	put("code", m.Code, m.Code != 0)
	put("text", strconv.Quote(m.Text), m.Text != "")
	put("auth", m.AuthText, m.AuthText)
	put("server", m.ServerName+" "+m.ServerVer, m.ServerName != "")
	put("outcomes", fmt.Sprintf("%+v", m.Outcomes), m.Outcomes != nil)
	return b.String()
}

func (p *player) told() string {
	var b strings.Builder
	for _, x := range p.out {
		b.WriteString(tell(x))
	}
	for _, n := range p.notes {
		fmt.Fprintf(&b, "note %s at %d\n", n.Code, n.At.Frame)
	}
	return b.String()
}

// checkOrder holds for every conversation: Asked once and first, Closed once
// and last; then the id may be another exchange's.
func (p *player) checkOrder(t *testing.T) {
	t.Helper()
	last := map[httpmsg.ID]Phase{}
	for _, x := range p.out {
		was := last[x.ID]
		if begins := was == 0 || was == Closed; begins != (x.Phase == Asked) {
			t.Errorf("exchange %v: %q behind %q", x.ID, phases[x.Phase], phases[was])
		}
		last[x.ID] = x.Phase
	}
}

// Each file of testdata is a script and what it gives; the same must come
// however the content is cut.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) { conversation(t, file) })
	}
}

func conversation(t *testing.T, file string) {
	ar, err := txtar.ParseFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(ar.Files); i += 2 {
		in, want := &ar.Files[i], &ar.Files[i+1]
		if want.Name != "want" {
			t.Fatalf("%s: %q is not followed by want", file, in.Name)
		}
		p := newPlayer(Config{})
		p.play(string(in.Data))
		p.checkOrder(t)
		if *update {
			want.Data = []byte(p.told())
			continue
		}
		if got := p.told(); got != string(want.Data) {
			t.Errorf("%s:\n--- got\n%s--- want\n%s", in.Name, got, want.Data)
		}
		for _, size := range []int{1, 3, 7} {
			q := newPlayer(Config{})
			q.cuts = func(b []byte) [][]byte { return chop(b, size) }
			q.play(string(in.Data))
			if got := q.told(); got != p.told() {
				t.Errorf("%s, cut into pieces of %d:\n--- got\n%s--- want\n%s", in.Name, size, got, p.told())
			}
		}
		if n := len(p.d.open); n != 0 && !strings.Contains(in.Name, "open") {
			t.Errorf("%s: %d exchanges are left open", in.Name, n)
		}
		if n := p.d.held; n != 0 && len(p.d.open) == 0 {
			t.Errorf("%s: %d bytes are held for nothing", in.Name, n)
		}
	}
	if *update {
		if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func chop(b []byte, n int) [][]byte {
	var out [][]byte
	for i := 0; i < len(b); i += n {
		out = append(out, b[i:min(i+n, len(b))])
	}
	return out
}
