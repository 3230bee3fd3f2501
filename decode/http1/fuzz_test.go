package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
	"mcp401/decode/httpmsg"
)

// first keeps what the first message of a direction says.
type first struct {
	dir                  decode.Dir
	heads                int
	method, target, host string
	status               int
	body                 []byte
	done                 bool
}

func (f *first) event(e *httpmsg.Event) {
	if e.Dir != f.dir || f.heads > 1 {
		return
	}
	switch e.Kind {
	case httpmsg.Head:
		if f.heads++; f.heads == 1 {
			f.method, f.target, f.host, f.status = e.Method, e.Target, e.Authority, e.Status
			f.done = e.Interim
		}
	case httpmsg.Body:
		f.body = append(f.body, e.Data...)
	case httpmsg.Done:
		f.done = true
	}
}

// FuzzWhatNetHTTPAcceptsWeAccept holds a request and a response against
// net/http: what it reads without an error we read with the same meaning.
func FuzzWhatNetHTTPAcceptsWeAccept(f *testing.F) {
	for _, s := range scripts(f) {
		var wire [2][]byte
		for _, st := range s.Steps {
			wire[st.Dir] = append(wire[st.Dir], st.Data...)
		}
		f.Add(wire[0], wire[1])
	}
	f.Fuzz(func(t *testing.T, request, response []byte) {
		againstRequest(t, request)
		againstResponse(t, response)
	})
}

func againstRequest(t *testing.T, wire []byte) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(wire)))
	if err != nil || r.ProtoMajor != 1 || r.ProtoMinor > 9 || r.Header.Get("Expect") != "" || len(r.Method) > mostMethod {
		return // the content of a request with Expect is another matter; no method is that long
	}
	if n, _ := ProxyHeader(wire); n > 0 {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	got := first{dir: decode.ToServer}
	read(&got, decode.ToServer, wire)
	if got.heads == 0 || got.method != r.Method || strings.TrimSpace(got.target) != strings.TrimSpace(r.RequestURI) {
		t.Fatalf("%q: got %q %q, want %q %q", wire, got.method, got.target, r.Method, r.RequestURI)
	}
	if !got.done || !bytes.Equal(got.body, body) {
		t.Fatalf("%q: got content %q, done %v, want %q", wire, got.body, got.done, body)
	}
}

func againstResponse(t *testing.T, wire []byte) {
	if bytes.Contains(wire, []byte(" :")) || bytes.Contains(wire, []byte("\t:")) {
		return // net/http takes no field with a blank before its colon; we read it and say so
	}
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(wire)), &http.Request{Method: "GET"})
	if err != nil || r.ProtoMajor != 1 || r.StatusCode < 0 || strings.ContainsAny(r.Status[:3], "+-") {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	got := first{dir: decode.ToClient}
	read(&got, decode.ToClient, wire)
	if got.heads == 0 || got.status != r.StatusCode {
		t.Fatalf("%q: got status %d, want %d", wire, got.status, r.StatusCode)
	}
	if !got.done || !bytes.Equal(got.body, body) {
		t.Fatalf("%q: got content %q, done %v, want %q", wire, got.body, got.done, body)
	}
}

// read decodes what one side sent; a GET comes before what a server sent.
func read(f *first, d decode.Dir, wire []byte) {
	at := decode.Mark{Frame: 1, Time: decodetest.Epoch}
	c := New(decode.Flow{First: 1}, "http", decode.Limits{}, f.event, func(decode.Note) {})
	if d == decode.ToClient {
		c.Data(decode.ToServer, at, []byte("GET / HTTP/1.1\r\n\r\n"))
	}
	c.Data(d, at, wire)
	c.End(d, at, decode.Fin)
}

// scripts loads the conversations of all tests, as seeds.
func scripts(t testing.TB) []*decodetest.Script {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scripts")
	}
	var all []*decodetest.Script
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		s, err := decodetest.Parse(f, b)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	return all
}

// wired makes a conversation of two byte strings: order says, bit by bit, who
// sends the next piece.
func wired(request, response []byte, order uint64, mid bool) *decodetest.Script {
	s := &decodetest.Script{Flow: decode.Flow{First: 1, Mid: mid}, Options: map[string]string{"head": "300", "tunnel": "raw", "pipelined": "3"}}
	rest := [2][]byte{request, response}
	for frame := 1; len(rest[0])+len(rest[1]) > 0; frame++ {
		d := decode.Dir(order >> (frame % 64) & 1)
		if len(rest[d]) == 0 {
			d = d.Other()
		}
		n := min(len(rest[d]), 1+len(rest[d])/3)
		s.Steps = append(s.Steps, decodetest.Step{Dir: d, At: decode.Mark{Frame: frame, Time: decodetest.Epoch}, Data: rest[d][:n]})
		rest[d] = rest[d][n:]
	}
	return s
}

func FuzzAnyCutSameEvents(f *testing.F) {
	for i, s := range scripts(f) {
		var wire [2][]byte
		for _, st := range s.Steps {
			wire[st.Dir] = append(wire[st.Dir], st.Data...)
		}
		f.Add(wire[0], wire[1], uint64(i)*0x9e3779b97f4a7c15, i%2 == 0, uint8(i))
	}
	// A line end before an unknown method, in a piece of its own.
	f.Add([]byte("\n0 0 HTTP/1.0\n0:00000000000000000000000000000"), []byte(""), uint64(16390740445785211216), true, uint8(16))
	f.Fuzz(func(t *testing.T, request, response []byte, order uint64, mid bool, size uint8) {
		if len(request)+len(response) > 4000 {
			return
		}
		s := wired(request, response, order, mid)
		whole, cut := new(decodetest.Log), new(decodetest.Log)
		a, b := newConn(s, whole), newConn(s, cut)
		var end decode.Mark
		for _, st := range s.Steps {
			a.Data(st.Dir, st.At, st.Data)
			for p := st.Data; len(p) > 0; {
				n := min(len(p), 1+int(size%16))
				b.Data(st.Dir, st.At, p[:n])
				p = p[n:]
			}
			end = st.At
		}
		a.End(decode.ToServer, end, decode.Reset)
		b.End(decode.ToServer, end, decode.Reset)
		if whole.String() != cut.String() {
			t.Fatalf("whole:\n%s\ncut:\n%s", whole, cut)
		}
		if err := balanced(whole.Lines()); err != nil {
			t.Fatalf("%v\n%s", err, whole)
		}
	})
}

// FuzzNeverPanics plays data, holes and ends in any order, and looks that each
// message is told whole.
func FuzzNeverPanics(f *testing.F) {
	for _, s := range scripts(f) {
		var wire [2][]byte
		var ops []byte
		for _, st := range s.Steps {
			wire[st.Dir] = append(wire[st.Dir], st.Data...)
			ops = append(ops, byte(st.Dir)|byte(st.Kind)<<1, byte(len(st.Data)))
		}
		f.Add(wire[0], wire[1], ops, s.Flow.Mid)
	}
	// Bytes behind an end that waits.
	f.Add([]byte("0"), []byte("HTTP/1.0000000000000000000000000000000000000000000000000000\n\r\n"), []byte("10%010"), false)
	f.Fuzz(func(t *testing.T, request, response, ops []byte, mid bool) {
		s := &decodetest.Script{Flow: decode.Flow{First: 1, Mid: mid}, Options: map[string]string{"head": "300", "tunnel": "http1", "pipelined": "3"}}
		log := new(decodetest.Log)
		c := newConn(s, log)
		rest := [2][]byte{request, response}
		at := decode.Mark{Frame: 1, Time: decodetest.Epoch}
		for i := 0; i+1 < len(ops) && i < 400; i += 2 {
			d, n := decode.Dir(ops[i]&1), int(ops[i+1])
			at.Frame += int(ops[i] >> 4 & 1)
			switch ops[i] >> 1 & 7 {
			case 1:
				c.Gap(d, at, n-1)
			case 2:
				c.End(d, at, decode.Fin)
			case 3:
				c.Gap(d, at, n)
				rest[d] = rest[d][min(n, len(rest[d])):]
			default:
				n = min(n, len(rest[d]))
				c.Data(d, at, rest[d][:n])
				rest[d] = rest[d][n:]
			}
		}
		c.End(decode.ToClient, at, decode.Cut)
		c.End(decode.ToServer, at, decode.Cut)
		if err := balanced(log.Lines()); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
	})
}
