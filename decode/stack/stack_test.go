package stack_test

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/mcp"
	"mcp401/decode/stack"
)

const swallowed = `
down> POST /passthru/mcp
  Authorization: Bearer bad
  x-litellm-api-key: Bearer sk-1
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
refusing> POST /mcp
  rpc initialize 0
refusing. refused
gone. refused
`

// lines tells each event in one line, without frames and times.
func lines(events []stack.Event) []string {
	var out []string
	answers := map[httpmsg.ID][]mcp.Message{}
	for _, e := range events {
		switch {
		case e.Exchange != nil:
			x := e.Exchange
			s := fmt.Sprintf("%s %s -> %d", x.Method, x.Path, x.Status)
			for _, m := range x.Requests {
				s += " " + m.Method
			}
			answers[x.ID] = append(answers[x.ID], x.Answers...)
			for _, m := range answers[x.ID] {
				s += fmt.Sprintf(" answer %s tools %d", m.ID, m.Count)
			}
			for _, c := range x.Challenges {
				s += " " + c.Error
			}
			if x.Phase == mcp.Closed {
				out = append(out, s)
			}
		case e.Connection != nil && e.Connection.How != 0:
			k := e.Connection
			out = append(out, fmt.Sprintf("connection %s %s %d", k.Protocol, k.How, k.Exchanges))
		case e.Note != nil:
			out = append(out, "note "+e.Note.Code)
		case e.Message != nil:
			out = append(out, fmt.Sprintf("message %v %s %s %d cut=%v", e.Message.Request, e.Message.Method, e.Message.URI, e.Message.Status, e.Message.Cut))
		}
	}
	return out
}

func decodeAll(cfg stack.Config, records []capture.Record) []stack.Event {
	var events []stack.Event
	d := stack.New(cfg, func(e stack.Event) { events = append(events, e) })
	for _, r := range records {
		d.Record(r)
	}
	d.Close()
	return events
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return s
}

func TestOneConversationInEveryWrapping(t *testing.T) {
	c := capturetest.MustParse(swallowed)
	want := sorted(lines(decodeAll(stack.Config{}, c.Records())))
	for _, need := range []string{
		"POST /passthru/mcp -> 200 tools/list answer 7 tools 0", "POST /mcp -> 401 initialize invalid_token",
		"connection  refused 0", "connection http1 fin 1",
	} {
		if !slices.Contains(want, need) {
			t.Errorf("%q is not among\n%s", need, strings.Join(want, "\n"))
		}
	}
	for name, w := range map[string]capturetest.Wrap{
		"pcapng":    {Format: capturetest.Pcapng},
		"IPv6":      {IPv6: true},
		"VLAN":      {Link: capturetest.VLAN},
		"QinQ":      {Link: capturetest.QinQ},
		"SLL":       {Link: capturetest.SLL},
		"SLL2":      {Link: capturetest.SLL2},
		"loopback":  {Link: capturetest.Null, Loopback: true},
		"raw":       {Link: capturetest.Raw},
		"segments":  {MSS: 100},
		"wrapping":  {SeqWrap: true},
		"doubled":   {Double: true},
		"reordered": {Reorder: 3},
	} {
		if got := sorted(lines(decodeAll(stack.Config{}, c.Wrap(w).Records))); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestShardsTogetherSeeWhatOneSees(t *testing.T) {
	records := capturetest.MustParse(swallowed).Records()
	want := sorted(lines(decodeAll(stack.Config{}, records)))
	for _, n := range []int{2, 3, 7} {
		var got []string
		for i := range n {
			got = append(got, lines(decodeAll(stack.Config{Shard: i, Shards: n}, records))...)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%d shards:\n%s\nwant\n%s", n, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestHAREntriesAreToldInOrderOfTime(t *testing.T) {
	w := capturetest.MustParse(swallowed).Wrap(capturetest.Wrap{Format: capturetest.HAR})
	events := decodeAll(stack.Config{Messages: true}, w.Records)
	var last time.Time
	var told []string
	for _, e := range events {
		if e.Exchange == nil {
			continue
		}
		if e.At.Time.Before(last) {
			t.Errorf("frame %d at %v comes after %v", e.At.Frame, e.At.Time, last)
		}
		last = e.At.Time
		told = append(told, fmt.Sprint(e.Exchange.Path, " ", e.Exchange.Phase, " ", e.Exchange.HAR))
	}
	// The client's request goes out first, and its answer comes back last.
	want := []string{"/passthru/mcp 1 true", "/mcp 1 true", "/mcp 3 true"}
	if len(told) < 5 || !slices.Equal(told[:3], want) {
		t.Errorf("got %q, want it to begin with %q", told, want)
	}
	all := strings.Join(lines(events), "\n")
	for _, need := range []string{"POST /passthru/mcp -> 200 tools/list answer 7 tools 0", "message true POST /passthru/mcp 0 cut=false", "message false   401 cut=false"} {
		if !strings.Contains(all, need) {
			t.Errorf("%q is not among\n%s", need, all)
		}
	}
}

func entry(e capture.Entry) []stack.Event {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	return decodeAll(stack.Config{Messages: true}, []capture.Record{{Num: 1, Time: at, Entry: &e}})
}

func last(t *testing.T, events []stack.Event) *mcp.Exchange {
	t.Helper()
	var all mcp.Exchange
	for _, e := range events {
		if e.Exchange != nil {
			answers := append(all.Answers, e.Exchange.Answers...)
			all = *e.Exchange
			all.Answers = answers
		}
	}
	if all.Phase != mcp.Closed {
		t.Fatalf("no whole exchange in %q", lines(events))
	}
	return &all
}

func TestHAREntry(t *testing.T) {
	list := &capture.Body{Data: []byte(`{"jsonrpc":"2.0","id":7,"method":"tools/list"}`), MIME: "application/json"}
	stream := []capture.StreamEvent{{Name: "message", ID: "1", Data: "{\"jsonrpc\":\"2.0\",\n\"id\":7,\"result\":{\"tools\":[]}}"}}
	ask := []capture.Field{{Name: ":authority", Value: "gw.example"}, {Name: "accept", Value: "application/json, text/event-stream"}}
	for _, c := range []struct {
		name  string
		entry capture.Entry
		check func(*mcp.Exchange) bool
	}{
		{"a host name stays a name", capture.Entry{Method: "POST", URL: "https://GW.example/mcp/", Request: ask, Body: list, Status: 401, Size: 0, Took: -1, Wait: -1},
			func(x *mcp.Exchange) bool {
				return x.Flow.Server == netip.AddrPortFrom(netip.IPv6Unspecified().WithZone("gw.example"), 443) && x.Status == 401 && x.Scheme == "https"
			}},
		{"localhost is where it was", capture.Entry{Method: "POST", URL: "http://localhost:4000/mcp/", Server: "[::1]", Request: ask, Body: list, Status: 200, Size: -1},
			func(x *mcp.Exchange) bool { return x.Flow.Server.String() == "[::1]:4000" && x.Answer.Absent }},
		{"localhost without an address", capture.Entry{Method: "POST", URL: "http://localhost:4000/mcp/", Body: list, Status: 200, Size: 9},
			func(x *mcp.Exchange) bool { return x.Flow.Server.String() == "127.0.0.1:4000" && x.Answer.Absent }},
		{"events stand for the body", capture.Entry{Method: "POST", URL: "http://10.0.0.1/mcp", Request: ask, Body: list, Status: 200, Size: 60, MIME: "text/event-stream", Events: stream, Took: time.Second, Wait: time.Millisecond},
			func(x *mcp.Exchange) bool { return len(x.Answers) == 1 && x.Answers[0].Count == 0 }},
		{"withdrawn events do not", capture.Entry{Method: "POST", URL: "http://10.0.0.1/mcp", Request: ask, Body: list, Status: 200, Size: 60, MIME: "text/event-stream", Events: []capture.StreamEvent{{DataWithdrawn: true}}},
			func(x *mcp.Exchange) bool { return len(x.Answers) == 0 && x.Answer.Absent }},
		{"no response", capture.Entry{Method: "POST", URL: "http://10.0.0.1/mcp", Body: list, Error: "net::ERR_FAILED"},
			func(x *mcp.Exchange) bool { return x.Status == 0 && x.Error == "net::ERR_FAILED" }},
		{"a cut body is a hole", capture.Entry{Method: "POST", URL: "http://10.0.0.1/mcp", Body: list, Status: 200, MIME: "application/json", Content: &capture.Body{Data: []byte(`{"jsonrpc":`), Lost: 100}, Size: 111},
			func(x *mcp.Exchange) bool { return x.Hole }},
		{"a preflight without its field", capture.Entry{Method: "OPTIONS", URL: "http://10.0.0.1/mcp", Preflight: true, Status: 204},
			func(x *mcp.Exchange) bool { return x.Kind == mcp.Preflight }},
		{"the type of the body", capture.Entry{Method: "POST", URL: "http://10.0.0.1/mcp", Body: list, Status: 202},
			func(x *mcp.Exchange) bool { return x.Kind == mcp.RPC && len(x.Requests) == 1 && !x.Answer.Absent }},
	} {
		if x := last(t, entry(c.entry)); !c.check(x) {
			t.Errorf("%s: %+v", c.name, x)
		}
	}
	if got := lines(entry(capture.Entry{Method: "GET", URL: "data:text/plain,x"})); len(got) != 0 {
		t.Errorf("a data URL: %q", got)
	}
	if got := lines(entry(capture.Entry{Method: "GET", URL: "http://%zz"})); !slices.Equal(got, []string{"note har/bad-url"}) {
		t.Errorf("a bad URL: %q", got)
	}
}

func TestMessages(t *testing.T) {
	c := capturetest.MustParse("> GET /a?token=secret\n< 100\n< 200\n  fill 10\n> GET /b\n. reset\n")
	got := sorted(slices.DeleteFunc(lines(decodeAll(stack.Config{Messages: true}, c.Records())), func(s string) bool { return !strings.HasPrefix(s, "message") }))
	want := sorted([]string{
		"message true GET /a?token=… 0 cut=false", "message false   100 cut=false", "message false   200 cut=false",
		"message true GET /b 0 cut=false",
	})
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// raw gives one connection its bytes, each piece a packet.
func raw(pieces ...string) []stack.Event {
	var script strings.Builder
	for _, p := range pieces {
		fmt.Fprintf(&script, "%c %q\n", p[0], p[1:])
	}
	return decodeAll(stack.Config{}, capturetest.MustParse(script.String()+". close\n").Records())
}

func TestWhatAConnectionSpeaks(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []string
		want   string
	}{
		{"HTTP/1 in bytes", []string{">G", ">E", ">T / HTTP/1.1\r\n\r\n", "<HTTP/1.1 204 No Content\r\n\r\n"}, "connection http1 fin 1"},
		{"a server that speaks first", []string{"<220 mail ESMTP\r\n", ">EHLO me\r\n"}, "connection unknown fin 0"},
		{"nothing known", []string{">\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09"}, "connection unknown fin 0"},
		{"too short to tell", []string{">P"}, "connection unknown fin 0"},
		{"TLS without keys", []string{">\x16\x03\x01", ">\x00\x05hello", "<\x16\x03\x03\x00\x01x"}, "connection tls fin 0"},
	} {
		if got := lines(raw(c.pieces...)); !slices.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestAConnectionThatBeganBeforeTheCapture(t *testing.T) {
	c := capturetest.MustParse("> POST /mcp\n  rpc tools/list 1\n< 200 json\n  result tools 2\n> POST /mcp\n  rpc tools/list 2\n< 200 json\n  result tools 0\n")
	got := lines(decodeAll(stack.Config{}, c.Wrap(capturetest.Wrap{MidStream: true, MSS: 40}).Records))
	if !slices.ContainsFunc(got, func(s string) bool { return strings.HasSuffix(s, "answer 2 tools 0") }) {
		t.Errorf("the second list is lost: %q", got)
	}
}

func TestLossAndTickAlone(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	var events []stack.Event
	d := stack.New(stack.Config{Limits: decode.Limits{Connect: time.Second}}, func(e stack.Event) { events = append(events, e) })
	for _, r := range capturetest.MustParse("start = 2026-11-23T08:00:00Z\ngone. unanswered\n").Records()[:1] {
		d.Record(r)
	}
	d.Record(capture.Record{Num: 1, Time: at, Loss: &capture.Loss{Packets: 3}})
	d.Record(capture.Record{Num: 1, Secret: &capture.Secret{Lines: []byte("# no key\n")}})
	d.Tick(at.Add(time.Minute))
	if got := lines(events); !slices.Equal(got, []string{"connection  unanswered 0"}) {
		t.Errorf("got %q", got)
	}
}

// TestQUIC gives the first packet of RFC 9001 appendix A.2, three times.
func TestQUIC(t *testing.T) {
	text, err := os.ReadFile("testdata/quic-initial.hex")
	if err != nil {
		t.Fatal(err)
	}
	initial, err := hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
	if err != nil {
		t.Fatal(err)
	}
	ip := make([]byte, 28, 28+len(initial))
	ip[0], ip[9] = 0x45, 17
	binary.BigEndian.PutUint16(ip[2:], uint16(28+len(initial)))
	binary.BigEndian.PutUint16(ip[20:], 50000)
	binary.BigEndian.PutUint16(ip[22:], 443)
	ip = append(ip, initial...)
	var records []capture.Record
	for i := range 3 {
		records = append(records, capture.Record{Num: i + 1, Time: time.Unix(1, 0), Packet: &capture.Packet{Link: capture.LinkIPv4, Length: len(ip), Data: ip}})
	}
	var names []string
	for _, e := range decodeAll(stack.Config{}, records) {
		if e.Note != nil && e.Note.Code == "quic/seen" {
			names = append(names, e.Note.About)
		}
	}
	if !slices.Equal(names, []string{"example.com"}) {
		t.Errorf("got %q", names)
	}
}

// TestICMPRefuses answers a SYN by "port unreachable", as a firewall does.
func TestICMPRefuses(t *testing.T) {
	ip := func(src, dst byte, proto layers.IPProtocol) *layers.IPv4 {
		return &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: []byte{10, 0, 0, src}, DstIP: []byte{10, 0, 0, dst}}
	}
	var records []capture.Record
	add := func(ls ...gopacket.SerializableLayer) []byte {
		b := gopacket.NewSerializeBuffer()
		if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, ls...); err != nil {
			t.Fatal(err)
		}
		n := len(records) + 1
		records = append(records, capture.Record{Num: n, Time: time.Unix(int64(n), 0), Packet: &capture.Packet{Link: capture.LinkIPv4, Length: len(b.Bytes()), Data: b.Bytes()}})
		return b.Bytes()
	}
	syn := add(ip(1, 2, layers.IPProtocolTCP), &layers.TCP{SrcPort: 5000, DstPort: 9101, Seq: 77, SYN: true})
	add(ip(9, 1, layers.IPProtocolICMPv4), &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 3)}, gopacket.Payload(syn[:28]))
	if got := lines(decodeAll(stack.Config{}, records)); !slices.Equal(got, []string{"connection  refused 0"}) {
		t.Errorf("got %q", got)
	}
}

func TestDamagedPacketsOnlyMakeNotes(t *testing.T) {
	var records []capture.Record
	for i := range 300 {
		b := make([]byte, i%70)
		for j := range b {
			b[j] = byte(i * (j + 3))
		}
		if len(b) > 20 {
			binary.BigEndian.PutUint16(b[12:], 0x0800)
			b[14] = 0x45
		}
		records = append(records, capture.Record{Num: i + 1, Time: time.Unix(int64(i), 0), Packet: &capture.Packet{Link: capture.LinkEthernet, Length: len(b), Data: b}})
	}
	for _, e := range decodeAll(stack.Config{}, records) {
		if e.Exchange != nil {
			t.Fatalf("an exchange out of noise: %+v", e.Exchange)
		}
	}
}

// A clock that is set back is taken to go on, and that is said once.
func TestClockStep(t *testing.T) {
	records := capturetest.MustParse(swallowed).Records()
	at := len(records) / 2
	for _, back := range []time.Duration{900 * time.Millisecond, 3 * time.Second, time.Hour} {
		steps, last, bad := 0, time.Time{}, 0
		d := stack.New(stack.Config{}, func(e stack.Event) {
			if e.Note != nil && e.Note.Code == "capture/clock-step" {
				steps++
			}
			if e.At.Time.Before(last) {
				bad++
			}
			last = e.At.Time
		})
		for i, r := range records {
			if i >= at {
				r.Time = r.Time.Add(-back)
			}
			d.Record(r)
			d.Tick(r.Time)
		}
		d.Close()
		if want := back > time.Second; (steps == 1) != want || steps > 1 || want && bad > 0 {
			t.Errorf("back by %s: %d steps are said, %d events go back", back, steps, bad)
		}
	}
}
