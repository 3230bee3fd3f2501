package capturetest

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"

	"mcp401/capture"
)

const swallowed = `
# a gateway hides a 401
down> POST /passthru/mcp            => swallowed-401 token-rejected
  Authorization: Bearer bad
  rpc tools/list 7
down< 200 sse
  ...
passthru> POST /mcp
  Authorization: Bearer bad
  rpc initialize 0
passthru< 401 json
  WWW-Authenticate: Bearer error="invalid_token"
  {"error":"invalid_token"}
passthru. close
~ 250ms
down<< result tools 0
healthy> POST /mcp chunked
  rpc tools/list 1
  fill 4000
healthy< 200 gzip
  result tools 40
healthy. close <
down.2> GET /v1/mcp/tools
down.2< 200 close                   => second
  {"tools":[]}
down.2. close <
other. refused
`

// said is what every capture of the conversation must hold, whatever its
// wrapping, but for the authority.
func said(t *testing.T, c *Conversation) map[string]string {
	t.Helper()
	return streams(t, readBack(t, c.Wrap(Wrap{}).Bytes))
}

func TestStreams(t *testing.T) {
	want := map[string]string{
		"40001>4000": "POST /passthru/mcp HTTP/1.1\r\nHost: 10.0.1.1:4000\r\nAccept: application/json, text/event-stream\r\n" +
			"Authorization: Bearer bad\r\nContent-Type: application/json\r\nContent-Length: 46\r\n\r\n" +
			`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`,
		"4000>40001": "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"48\r\nevent: message\r\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"tools\":[]}}\r\n\r\n\r\n0\r\n\r\n",
		"41001>9101": "POST /mcp HTTP/1.1\r\nHost: 10.0.2.1:9101\r\nAccept: application/json, text/event-stream\r\n" +
			"Authorization: Bearer bad\r\nContent-Type: application/json\r\nContent-Length: 152\r\n\r\n" +
			`{"jsonrpc":"2.0","id":0,"method":"initialize","params":` + initializeParams + `}`,
		"9101>41001": "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Bearer error=\"invalid_token\"\r\n" +
			"Content-Type: application/json\r\nContent-Length: 25\r\n\r\n" + `{"error":"invalid_token"}`,
		"40002>4000": "GET /v1/mcp/tools HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\n",
		"4000>40002": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + `{"tools":[]}`,
	}
	got := said(t, MustParse(swallowed))
	for k, v := range want {
		if d := cmp.Diff(v, got[k]); d != "" {
			t.Errorf("%s (-want +got):\n%s", k, d)
		}
	}
	if r := got["41002>9102"]; !strings.HasSuffix(r, "\r\n0\r\n\r\n") || !strings.Contains(r, "Transfer-Encoding: chunked") {
		t.Errorf("the chunked request:\n%.300q", r)
	}
}

// Every wrapping holds the same conversation, by the word of a foreign decoder.
func TestEveryWrapping(t *testing.T) {
	c := MustParse(swallowed)
	plain := said(t, c)
	wraps := map[string]Wrap{
		"ns": {Format: PcapNS}, "pcapng": {Format: Pcapng},
		"big-endian pcap": {BigEndian: true}, "big-endian ns": {Format: PcapNS, BigEndian: true}, "big-endian pcapng": {Format: Pcapng, BigEndian: true},
		"gzip": {Compress: Gzip}, "zstd": {Compress: Zstd, Format: Pcapng},
		"small segments": {MSS: 7}, "one byte": {MSS: 1}, "seq wrap": {SeqWrap: true, MSS: 50}, "mid-stream": {MidStream: true},
		"doubled": {Double: true}, "reordered": {Reorder: 3, MSS: 200}, "mixed": {Mix: true}, "all at once": {Mix: true, Double: true, Reorder: 9, MSS: 300, Format: Pcapng, Compress: Gzip},
		"raw v6": {Link: Raw, IPv6: true}, "loopback": {Loopback: true}, "loopback v6": {Loopback: true, IPv6: true, Link: Null},
	}
	for l := Ethernet; l <= Raw; l++ {
		wraps[fmt.Sprintf("link %d", l)] = Wrap{Link: l}
		wraps[fmt.Sprintf("link %d, v6, mixed", l)] = Wrap{Link: l, IPv6: true, Mix: true}
	}
	for name, w := range wraps {
		t.Run(name, func(t *testing.T) {
			cap := c.Wrap(w)
			frames := readBack(t, cap.Bytes)
			checkRecords(t, cap.Records, frames, w)
			got := streams(t, frames)
			for k, want := range plain {
				if d := cmp.Diff(want, plainAuthority(got[k])); d != "" && w.Link != Loop {
					t.Errorf("%s (-want +got):\n%s", k, d)
				}
			}
			for i, want := range []string{"POST /passthru/mcp", "HTTP/1.1 200 OK"} {
				f := cap.Expect[i].Frame
				if f == 0 {
					t.Fatalf("expectation %d has no frame", i)
				}
				if b := string(frames[f-1].data); !strings.Contains(b, want[:min(len(want), max(w.MSS, 1))]) && w.MSS == 0 {
					t.Errorf("frame %d does not begin %q:\n%q", f, want, b)
				}
			}
		})
	}
}

// plainAuthority undoes what a wrapping changes in the text.
func plainAuthority(s string) string {
	return strings.NewReplacer(
		"[fd00::a00:101]:4000", "10.0.1.1:4000", "[fd00::a00:201]:9101", "10.0.2.1:9101", "[fd00::a00:202]:9102", "10.0.2.2:9102",
		"127.0.0.1:4000", "10.0.1.1:4000", "127.0.0.1:9101", "10.0.2.1:9101", "127.0.0.1:9102", "10.0.2.2:9102",
		"[::1]:4000", "10.0.1.1:4000", "[::1]:9101", "10.0.2.1:9101", "[::1]:9102", "10.0.2.2:9102",
	).Replace(s)
}

// checkRecords compares what was written with what a foreign reader reads.
func checkRecords(t *testing.T, records []capture.Record, frames []frame, w Wrap) {
	t.Helper()
	if len(records) != len(frames) {
		t.Fatalf("%d records, %d frames", len(records), len(frames))
	}
	for i, r := range records {
		f := frames[i]
		at := r.Time
		if w.Format == Pcap {
			at = at.Truncate(1000)
		}
		if r.Num != i+1 || !f.Timestamp.Equal(at) || f.Length != r.Packet.Length || string(f.data) != string(r.Packet.Data) || f.link != layers.LinkType(r.Packet.Link) {
			t.Fatalf("record %d: %+v %+v, read as %+v link %v", i+1, r, r.Packet, f.CaptureInfo, f.link)
		}
	}
}

func TestTheSameBytesEachTime(t *testing.T) {
	w := Wrap{Mix: true, Double: true, Reorder: 5, Drop: .1, DropSeed: 2, Format: Pcapng}
	if a, b := MustParse(swallowed).Wrap(w), MustParse(swallowed).Wrap(w); string(a.Bytes) != string(b.Bytes) {
		t.Error("two captures of one conversation differ")
	}
}

func TestSnaplen(t *testing.T) {
	cut := 0
	for _, f := range readBack(t, MustParse(swallowed).Wrap(Wrap{Snaplen: 96}).Bytes) {
		if len(f.data) > 96 {
			t.Fatalf("%d bytes kept", len(f.data))
		}
		if f.Length > len(f.data) {
			cut++
		}
	}
	if cut == 0 {
		t.Error("nothing was cut")
	}
}

func TestHops(t *testing.T) {
	c := MustParse(swallowed)
	down := streams(t, readBack(t, c.Wrap(Wrap{Hop: Down}).Bytes))
	up := streams(t, readBack(t, c.Wrap(Wrap{Hop: Up}).Bytes))
	for k := range down {
		if !strings.Contains(k, "4000") {
			t.Errorf("down holds %s", k)
		}
	}
	for k := range up {
		if strings.Contains(k, "4000") {
			t.Errorf("up holds %s", k)
		}
	}
	both := maps.Clone(down)
	maps.Copy(both, up)
	if d := cmp.Diff(said(t, c), both); d != "" {
		t.Error(d)
	}
	if w := c.Wrap(Wrap{Hop: Up}); w.Expect[0].Frame != 0 {
		t.Error("an expectation of the other hop has a frame")
	}
	chain := MustParse("a = 10.0.0.1 > 10.0.0.2:80\nb = 10.0.0.2 > 10.0.0.3:80\na> GET /a\nb> GET /b\n")
	if got := streams(t, readBack(t, chain.Wrap(Wrap{Hop: Down}).Bytes)); len(got["40001>80"]) == 0 || len(got) != 2 {
		t.Errorf("whoever calls on is a gateway: %v", got)
	}
}

func TestMishaps(t *testing.T) {
	tests := map[string]struct{ script, there, back string }{
		"gap in a body": {
			"> GET /\n< 200\n  abc\n  ...\n! gap 100\n<< def\n> GET /2\n",
			"GET / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\nGET /2 HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 106\r\n\r\nabc[100 missing]def",
		},
		"gap in a request": {
			"> POST /\n  abc\n  ...\n! gap 5\n>> d\n< 204",
			"POST / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\nContent-Length: 9\r\n\r\nabc[5 missing]d",
			"HTTP/1.1 204 No Content\r\n\r\n",
		},
		"gap outside of any": {
			"> GET /\n! gap 30 <\n> GET /2\n< 204",
			"GET / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\nGET /2 HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\n",
			"[30 missing]HTTP/1.1 204 No Content\r\n\r\n",
		},
		"lost answer": {
			"> GET /\n! lost\n< 204\n> GET /2\n< 204",
			"GET / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\nGET /2 HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\n",
			"[27 missing]HTTP/1.1 204 No Content\r\n\r\n",
		},
		"raw": {
			`> "GET / HT\x00"` + "\n" + `< "\r\n"`, "GET / HT\x00", "\r\n",
		},
		"never finished": {
			"> GET /\n< 200\n  abc\n  ...", "GET / HTTP/1.1\r\nHost: 10.0.1.1:4000\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: 103\r\n\r\nabc",
		},
	}
	for name, c := range tests {
		t.Run(name, func(t *testing.T) {
			got := streams(t, readBack(t, MustParse(c.script).Wrap(Wrap{}).Bytes))
			if d := cmp.Diff(map[string]string{"40001>4000": c.there, "4000>40001": c.back}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

// flags returns the TCP flags of each packet, with an arrow.
func flags(t *testing.T, script string) string {
	t.Helper()
	var out []string
	for _, f := range readBack(t, MustParse(script).Wrap(Wrap{}).Bytes) {
		tcp := f.decode(t).TransportLayer().(*layers.TCP)
		s := ">"
		if tcp.SrcPort < 10000 {
			s = "<"
		}
		for _, v := range []struct {
			set  bool
			name string
		}{{tcp.SYN, "S"}, {tcp.FIN, "F"}, {tcp.RST, "R"}, {tcp.PSH, "P"}, {tcp.ACK, "."}} {
			if v.set {
				s += v.name
			}
		}
		out = append(out, s)
	}
	return strings.Join(out, " ")
}

func TestEvents(t *testing.T) {
	const open = ">S <S. >."
	for script, want := range map[string]string{
		". open":                                  open,
		". refused":                               ">S <R.",
		". unanswered":                            ">S >S >S",
		". open\n. close":                         open + " >F. <. <F. >.",
		". open\n. close <":                       open + " <F. >. >F. <.",
		". open\n. fin >\n. fin <":                open + " >F. <. <F. >.",
		". open\n. reset":                         open + " <R.",
		". open\n. reset >":                       open + " >R.",
		"! lost\n. close":                         open,
		`> "a"`:                                   open + " >P. <.",
		`> "a"` + "\n. reset\n" + `> "b"`:         open + " >P. <. <R. " + open + " >P. <.",
		". unanswered\n. refused\n. open":         ">S >S >S >S <R. " + open,
		"[up x]\n. open\n[down]\n. open\nup. fin": open + " " + open + " >F. <.",
		". open\n! gap 9 >":                       open + " <.",
	} {
		if got := flags(t, script); got != want {
			t.Errorf("%q: %s, want %s", script, got, want)
		}
	}
}

func TestDrops(t *testing.T) {
	c := MustParse("! drops 12\n> GET /\n! drops 3\n")
	var lost []uint64
	w := c.Wrap(Wrap{Format: Pcapng})
	for _, r := range w.Records {
		if r.Loss != nil {
			lost = append(lost, r.Loss.Packets)
		}
	}
	if d := cmp.Diff([]uint64{12, 3}, lost); d != "" {
		t.Error(d)
	}
	if n := len(readBack(t, w.Bytes)); n != 5 {
		t.Errorf("%d frames", n)
	}
	if last := w.Records[len(w.Records)-1]; last.Num != 5 {
		t.Errorf("a loss has the number of the frame before it, not %d", last.Num)
	}
}
