package http2

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/http1"
	"mcp401/decode/httpmsg"
	"mcp401/decode/inet"
	"mcp401/decode/tcp"
)

// shared returns the folder of captures beside the project, or skips.
func shared(t *testing.T, name string) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		f := filepath.Join(dir, "..", "shared", name)
		if _, err := os.Stat(f); err == nil {
			return f
		}
	}
	t.Skip("the shared captures are not here")
	return ""
}

// A pick finds out by its first bytes whether a connection speaks HTTP/1 or
// HTTP/2, or that nobody can tell.
type pick struct {
	decode.Conn
	flow decode.Flow
	emit func(*httpmsg.Event)
}

func (k *pick) Data(d decode.Dir, at decode.Mark, p []byte) {
	if k.Conn == nil {
		note := func(decode.Note) {}
		switch {
		case http1.Sniff(d, p) == decode.Yes:
			c := http1.New(k.flow, "http", decode.Limits{}, k.emit, note)
			c.Tunnel = func(u http1.Upgrade) decode.Conn {
				flow := k.flow
				flow.Mid = false
				after := u.ID.Stream
				if u.Protocol == "h2c" {
					after--
				}
				in := New(flow, "http", decode.Limits{}, func(e *httpmsg.Event) {
					e.ID.Stream -= after
					k.emit(e)
				}, note)
				in.After, in.Upgraded = after, u.Protocol == "h2c"
				return in
			}
			k.Conn = c
		case Sniff(d, p) == decode.Yes || k.flow.Mid && p[0] == 0:
			k.Conn = New(k.flow, "http", decode.Limits{}, k.emit, note)
		default:
			return
		}
	}
	k.Conn.Data(d, at, p)
}

func (k *pick) Gap(d decode.Dir, at decode.Mark, n int) {
	if k.Conn != nil {
		k.Conn.Gap(d, at, n)
	}
}

func (k *pick) End(d decode.Dir, at decode.Mark, why decode.End) {
	if k.Conn != nil {
		k.Conn.End(d, at, why)
	}
}

// differences says where we and the oracle do not agree, and why that is right.
var differences = map[string]string{
	"h2-nghttp2/request 13": "the oracle does not put this long header block together",
	"h2-doh/response 7":     "the client took the stream back in the frame before",
	"h2-grpc-web":           "the oracle does not look for HTTP/2 on that port",
}

// What others captured is told as tshark tells it.
func TestCorpus(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(shared(t, "corpus"), "h2*.oracle.json"))
	for _, oracle := range files {
		name := strings.TrimSuffix(filepath.Base(oracle), ".oracle.json")
		t.Run(name, func(t *testing.T) {
			b, err := os.ReadFile(oracle)
			if err != nil {
				t.Fatal(err)
			}
			var want struct {
				File  string
				HTTP2 []struct {
					Stream int    `json:"h2_stream"`
					Kind   string `json:"kind"`
					Method string
					Path   string
					Status int
				} `json:"http2"`
			}
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			told := messages(t, filepath.Join(filepath.Dir(oracle), want.File))
			for _, w := range want.HTTP2 {
				key := fmt.Sprintf("response %d", w.Stream)
				text := fmt.Sprint(w.Status)
				if w.Kind != "response" {
					key, text = fmt.Sprintf("request %d", w.Stream), w.Method+" "+w.Path
				}
				if told[key+" "+text] == 0 && differences[name+"/"+key] == "" {
					t.Errorf("%s %s is not told", key, text)
				}
				told[key+" "+text]--
			}
			for k, n := range told {
				var key string
				if w := strings.Fields(k); len(w) > 1 {
					key = name + "/" + w[0] + " " + w[1]
				}
				if n > 0 && differences[key] == "" && differences[name] == "" {
					t.Errorf("%s is told %d times more", k, n)
				}
			}
		})
	}
}

// messages counts the heads in a capture.
func messages(t *testing.T, file string) map[string]int {
	f, err := capture.Open([]string{file}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	told := map[string]int{}
	emit := func(e *httpmsg.Event) {
		switch {
		case e.Kind != httpmsg.Head || e.Proto != "2" || e.Interim:
		case e.Dir == decode.ToServer:
			told[fmt.Sprintf("request %d %s %s", e.ID.Stream, e.Method, e.Target)]++
		default:
			told[fmt.Sprintf("response %d %d", e.ID.Stream, e.Status)]++
		}
	}
	lim := decode.Limits{}.WithDefaults()
	note := func(decode.Note) {}
	in := inet.New(lim, note)
	table := tcp.NewTable(lim, func(f decode.Flow) decode.Conn { return &pick{flow: f, emit: emit} }, note)
	var at decode.Mark
	for {
		r, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if r.Packet == nil {
			continue
		}
		at = decode.Mark{Frame: r.Num, Time: r.Time}
		if s, ok := in.Segment(at, r.Packet); ok {
			table.Segment(at, &s)
		}
	}
	table.Close(at)
	return told
}
