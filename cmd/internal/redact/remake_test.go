package redact

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/inet"
	"mcp401/decode/stack"
	"mcp401/decode/tcp"
)

// judged is what a capture says of its calls, without the frames.
func judged(t *testing.T, b, keys []byte) []string {
	t.Helper()
	src, err := capture.New("in", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	list, err := Verdicts(&keyed{Source: src, plan: &plan{keys: keys}, first: true})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, j := range list {
		out = append(out, j.Verdict+" "+j.Cause)
	}
	return out
}

// messages is what our own reader makes of a capture: every HTTP message, with
// how much content it has once codings are undone.
func messages(t *testing.T, b, keys []byte) []string {
	t.Helper()
	src, err := capture.New("in", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	type message struct {
		head   string
		n      int
		coder  *httpmsg.Content
		client string
	}
	open, list := map[body]*message{}, []*message{}
	d := stack.New(stack.Config{HTTP: func(f *decode.Flow, e *httpmsg.Event) {
		k := body{e.ID, e.Dir}
		m := open[k]
		count := func(p []byte) { m.n += len(p) }
		switch {
		case e.Proto == "2" && e.ID.Stream&1 == 0: // a push, which is left out
		case e.Kind == httpmsg.Head:
			m = &message{head: fmt.Sprint(e.Proto, " ", e.Dir, " ", e.Method, " ", e.Status), client: f.Client.String()}
			m.coder, _ = httpmsg.NewContent(codings(e.Header), decode.Limits{})
			list = append(list, m)
			if !e.Interim {
				open[k] = m
			}
		case m == nil:
		case e.Kind == httpmsg.Body:
			m.coder.Write(e.Data, count)
		case e.Kind == httpmsg.Done || e.Kind == httpmsg.Cut:
			m.coder.End(count)
			delete(open, k)
		}
	}}, func(stack.Event) {})
	s := &keyed{Source: src, plan: &plan{keys: keys}, first: true}
	for {
		r, err := s.Next()
		if err != nil {
			break
		}
		d.Record(r)
	}
	d.Close()
	var out []string
	for _, m := range list {
		out = append(out, fmt.Sprint(m.client, " ", m.head, " ", m.n, " ", m.coder.Err()))
	}
	slices.Sort(out)
	return out
}

func gzipped(script string) string {
	return strings.NewReplacer("200 sse", "200 sse gzip", "401 json", "401 json gzip", "200 json", "200 json gzip").Replace(script)
}

// ways is how a conversation may have been captured.
func ways() []capturetest.Wrap {
	list := []capturetest.Wrap{
		{}, {MSS: 40}, {MSS: 9}, {MSS: 60, Reorder: 1}, {Reorder: 2, MSS: 200}, {Double: true}, {IPv6: true, SeqWrap: true}, {Mix: true}, {Fragment: 64},
		{Fragment: 64, Scatter: true, MSS: 300}, {Loopback: true, Format: capturetest.Pcapng}, {Format: capturetest.PcapNS, BigEndian: true},
		{Format: capturetest.Pcapng, DSB: true}, {MidStream: true}, {Snaplen: 1200}, {Compress: capturetest.Gzip},
	}
	for l := capturetest.Ethernet; l <= capturetest.Raw; l++ {
		list = append(list, capturetest.Wrap{Link: l}, capturetest.Wrap{Link: l, IPv6: true, MSS: 100, Format: capturetest.Pcapng})
	}
	for tunnel := capturetest.GRE; tunnel < capturetest.Radiotap; tunnel++ {
		if tunnel != capturetest.Teredo {
			list = append(list, capturetest.Wrap{Tunnel: tunnel})
		}
	}
	for seed := range uint64(6) {
		list = append(list, capturetest.Wrap{MSS: 100, Drop: 0.05, DropSeed: seed + 1})
	}
	return list
}

// One conversation, however it was captured, over either version of HTTP, with
// its contents compressed or not, and under TLS whose keys are there, becomes
// clear text with the same verdicts.
func TestMadeAnew(t *testing.T) {
	wraps := ways()
	if testing.Short() {
		wraps = wraps[:12]
	}
	for name, script := range map[string]string{"plain": secretive, "gzip": gzipped(secretive)} {
		conv := capturetest.MustParse(script)
		for _, version := range []uint16{0, tls.VersionTLS12, tls.VersionTLS13} {
			for _, h2 := range []bool{false, true} {
				cases := 0
				for i, w := range wraps {
					w.TLS, w.HTTP2 = version, h2
					c := conv.Wrap(w)
					opt := Options{Clear: version != 0, Keys: c.Keys, Hosts: i%3 == 1}
					if w.DSB {
						opt.Keys = nil
					}
					out, res, err := redacted(t, c.Bytes, opt)
					if err != nil {
						t.Errorf("%s %+v: %v", name, w, err)
						continue
					}
					cases += res.Cases
					if want, got := judged(t, c.Bytes, opt.Keys), judged(t, out, nil); !slices.Equal(want, got) {
						t.Errorf("%s %+v: %q became %q", name, w, want, got)
					}
					if version != 0 && w.Drop == 0 && (res.Opened == 0 || res.Encrypted > 0) {
						t.Errorf("%s %+v: %+v", name, w, res)
					}
					if w.Compress == 0 && holds(out, "tok-alice-00001") {
						t.Errorf("%s %+v: the token is left", name, w)
					}
					for line := range bytes.Lines(c.Keys) {
						if f := bytes.Fields(line); len(f) == 3 && bytes.Contains(out, f[2]) {
							t.Errorf("%s %+v: a key is left", name, w)
						}
					}
				}
				if cases < len(wraps)/2 {
					t.Errorf("%s %x %v: %d cases in %d captures", name, version, h2, cases, len(wraps))
				}
			}
		}
	}
}

// What is made anew is, for our own reader, what it was: message for message,
// byte for byte of content.
func TestMessagesStay(t *testing.T) {
	for name, script := range map[string]string{"plain": secretive, "gzip": gzipped(secretive), "planted": strings.ReplaceAll(strings.ReplaceAll(planted, "%s", "abcdefghijk"), "%p", "abc")} {
		conv := capturetest.MustParse(strings.ReplaceAll(script, ` "A Reason"`, ""))
		for _, w := range []capturetest.Wrap{{HTTP2: true}, {TLS: tls.VersionTLS13}, {TLS: tls.VersionTLS12, HTTP2: true, MSS: 50}, {TLS: tls.VersionTLS13, Reorder: 3, MSS: 99}} {
			c := conv.Wrap(w)
			out, _, err := redacted(t, c.Bytes, Options{Clear: true, Keys: c.Keys})
			if err != nil {
				t.Errorf("%s %+v: %v", name, w, err)
				continue
			}
			if want, got := messages(t, c.Bytes, c.Keys), messages(t, out, nil); !slices.Equal(want, got) || len(want) == 0 {
				t.Errorf("%s %+v:\n%s\nbecame\n%s", name, w, strings.Join(want, "\n"), strings.Join(got, "\n"))
			}
		}
	}
}

// Captures of others whose keys are known become clear text in which our reader
// finds the messages that it found in them.
func TestOthersMadeAnew(t *testing.T) {
	const shared = "../../../../shared/"
	files, _ := filepath.Glob(shared + "corpus/*.pcap*")
	more, _ := filepath.Glob(shared + "captures/*tls.pcap")
	if files = append(files, more...); len(files) == 0 {
		t.Skip("no captures of others beside the repository")
	}
	opened, calls := 0, 0
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		base, _, _ := strings.Cut(filepath.Base(name), ".pcap")
		keys, _ := os.ReadFile(filepath.Join(filepath.Dir(name), base+".keys"))
		if keys == nil && !bytes.Contains(b, []byte("CLIENT_RANDOM")) && !strings.HasPrefix(base, "h2") && !strings.HasPrefix(base, "enc-") {
			continue
		}
		out, res, err := redacted(t, b, Options{Clear: true, Keys: keys})
		if err != nil {
			if !strings.Contains(err.Error(), "key log, not a capture") {
				t.Errorf("%s: %v", base, err)
			}
			continue
		}
		opened, calls = opened+res.Opened, calls+res.Cases
		want, got := messages(t, b, keys), messages(t, out, nil)
		if !slices.Equal(want, got) {
			t.Errorf("%s: %d messages became %d\n%s\nbecame\n%s", base, len(want), len(got), strings.Join(want, "\n"), strings.Join(got, "\n"))
		}
	}
	t.Logf("%d captures, %d TLS connections opened, %d calls", len(files), opened, calls)
	if opened == 0 || calls == 0 {
		t.Error("nothing was opened")
	}
}

// Whatever coding a content has, its text is in the clear and masked, and its
// message is as long as it says.
func TestCodings(t *testing.T) {
	encode := map[string]func([]byte) []byte{
		"gzip": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
		},
		"deflate": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
		},
		"br": func(b []byte) []byte {
			return through(b, func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) })
		},
		"zstd": func(b []byte) []byte {
			e, err := zstd.NewWriter(nil)
			if err != nil {
				t.Fatal(err)
			}
			return e.EncodeAll(b, nil)
		},
	}
	encode["gzip, br"] = func(b []byte) []byte { return encode["br"](encode["gzip"](b)) }
	const asks = `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{"note":"hunter2hunter2"}}}`
	const says = `{"jsonrpc":"2.0","id":7,"result":{"tools":[{"name":"echo","description":"hunter2hunter2"}]}}`
	chunked := func(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(b), b) }
	for name, f := range encode {
		req, res := f([]byte(asks)), f([]byte(says))
		for how, tail := range map[string]string{
			"length":  fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(res), res),
			"chunked": "Transfer-Encoding: chunked\r\n\r\n" + chunked(res),
			"close":   "\r\n" + string(res),
		} {
			conv := capturetest.MustParse(fmt.Sprintf("down> %q\ndown< %q\n. close <\n",
				fmt.Sprintf("POST /a/mcp HTTP/1.1\r\nHost: h\r\nContent-Encoding: %s\r\nContent-Length: %d\r\n\r\n%s", name, len(req), req),
				"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Encoding: "+name+"\r\n"+tail))
			for _, w := range []capturetest.Wrap{{}, {MSS: 13}, {TLS: tls.VersionTLS13}} {
				c := conv.Wrap(w)
				out, result, err := redacted(t, c.Bytes, Options{Clear: true, Keys: c.Keys})
				if err != nil || result.Cases != 1 || result.Blank > 0 {
					t.Errorf("%s, %s, %+v: %+v %v", name, how, w, result, err)
					continue
				}
				if want, got := messages(t, c.Bytes, c.Keys), messages(t, out, nil); !slices.Equal(want, got) {
					t.Errorf("%s, %s, %+v: %q became %q", name, how, w, want, got)
				}
				text := streams(t, out)
				if holds(text, "hunter2hunter2") || !bytes.Contains(text, []byte(`"tools":[{"name":"echo","description":"`)) || !bytes.Contains(text, []byte(`"method":"tools/list"`)) {
					t.Errorf("%s, %s, %+v: %s", name, how, w, text)
				}
			}
		}
	}
}

func through(b []byte, open func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	w := open(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

// Others read what is made anew: no checksum is wrong, no segment is missing,
// and every message is there.
func TestTshark(t *testing.T) {
	exe, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark here")
	}
	conv := capturetest.MustParse(`
passthru = 192.0.2.9:443
down> POST /passthru/mcp
  Authorization: Bearer tok-alice-00001
  rpc tools/list 7
down< 200 json gzip
  ...
passthru> POST /mcp
  Authorization: Bearer tok-alice-00001
  rpc tools/list 1
passthru< 401 json
  fill 70000
passthru. close
~ 250ms
down<< result tools 0
down. close
`)
	for _, w := range []capturetest.Wrap{{}, {TLS: tls.VersionTLS13}, {TLS: tls.VersionTLS13, IPv6: true, MSS: 300}, {TLS: tls.VersionTLS12, HTTP2: true}, {HTTP2: true}, {TLS: tls.VersionTLS13, Tunnel: capturetest.VXLAN}} {
		c := conv.Wrap(w)
		out, _, err := redacted(t, c.Bytes, Options{Clear: true, Keys: c.Keys})
		if err != nil {
			t.Errorf("%+v: %v", w, err)
			continue
		}
		name := filepath.Join(t.TempDir(), "out.pcap")
		if err := os.WriteFile(name, out, 0o600); err != nil {
			t.Fatal(err)
		}
		ask := func(filter string, fields ...string) string {
			args := []string{"-r", name, "-Y", filter, "-T", "fields", "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"}
			if w.HTTP2 {
				args = append(args, "-d", "tcp.port==443,http2", "-d", "tcp.port==4000,http2")
			}
			for _, f := range fields {
				args = append(args, "-e", f)
			}
			b, err := exec.Command(exe, args...).Output()
			if err != nil {
				t.Fatal(err)
			}
			return strings.Join(strings.Fields(string(b)), " ")
		}
		if bad := ask("tcp.checksum.status==0 || ip.checksum.status==0 || tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment || tcp.analysis.retransmission || tcp.analysis.out_of_order || _ws.malformed", "frame.number"); bad != "" {
			t.Errorf("%+v: frames %s are wrong", w, bad)
		}
		want, got := "POST /passthru/mcp POST /mcp 401 200", ""
		if w.HTTP2 {
			got = ask("http2.headers.method || http2.headers.status", "http2.headers.method", "http2.headers.path", "http2.headers.status")
			want = "POST /passthru/mcp 200 POST /mcp 401"
		} else {
			got = ask("http", "http.request.method", "http.request.uri", "http.response.code")
		}
		if got != want {
			t.Errorf("%+v: tshark reads %q, want %q", w, got, want)
		}
	}
}

// A frame that TCP holds makes the others wait, within bounds.
func TestSlotsAreBounded(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := newPackets(NewMasker(Config{Key: []byte("k")}, nil), newPatched(f), plan{})
	r := newRemake(p, decode.Flow{First: 1, Client: netip.MustParseAddrPort("10.0.0.1:1"), Server: netip.MustParseAddrPort("10.0.0.2:2")})
	now := time.Unix(1, 0)
	for i := range 3 * mostSlots {
		num := i + 1
		k := &slot{num: num, time: now, kind: capture.LinkEthernet, data: make([]byte, 60), length: 60}
		if i%mostSlots == 0 {
			k = &slot{num: num, time: now, kind: capture.LinkEthernet, r: r, link: make([]byte, 14), some: true, end: 1 << 20}
		}
		p.push(k)
		if err := p.drain(now, false); err != nil {
			t.Fatal(err)
		}
		if len(p.queue) > mostSlots+1 || p.waits > mostSlept+1<<20 {
			t.Fatalf("%d frames wait, %d bytes", len(p.queue), p.waits)
		}
	}
	if err := p.drain(now.Add(patience), false); err != nil || len(p.queue) > 0 || p.waits != 0 || p.written != 3*mostSlots {
		t.Errorf("%d frames wait, %d bytes, %d were written: %v", len(p.queue), p.waits, p.written, err)
	}
}

// What is made of any bytes, cut and lost in any way, is packets whose streams
// have no secret and, where nothing was lost, no hole.
func FuzzMadeAnew(f *testing.F) {
	f.Add([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x01\x01\x05\x00\x00\x00\x01\x82"), uint64(1))
	f.Add([]byte("POST /mcp HTTP/1.1\r\nContent-Encoding: gzip\r\nAuthorization: Bearer secret-secret\r\nContent-Length: 9\r\n\r\n123456789"), uint64(2))
	f.Add([]byte("HTTP/1.1 101 X\r\nUpgrade: h2c\r\n\r\n\x00\x00\x04\x01\x04\x00\x00\x00\x01\x88\x00\x00\x00"), uint64(3))
	f.Add([]byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03GET / HTTP/1.1\r\n\r\n"), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		if len(b) > 1<<16 {
			return
		}
		file, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		flow := decode.Flow{First: 1, Client: netip.MustParseAddrPort("10.0.0.1:1"), Server: netip.MustParseAddrPort("10.0.0.2:2"), Mid: seed%3 == 0}
		p := newPackets(NewMasker(Config{Key: []byte("k")}, NewSecrets()), newPatched(file), plan{clear: seed%2 == 0, flows: []decode.Flow{flow}})
		r := newRemake(p, flow)
		p.remakes[1] = r
		p.open(flow)
		rnd := rand.New(rand.NewPCG(seed, 1))
		seq := [2]uint32{1000, 1<<32 - 5}
		lost, num := false, 0
		for len(b) > 0 {
			num++
			n, d := min(len(b), 1+rnd.IntN(60)), decode.Dir(rnd.IntN(2))
			s := inet.Segment{Src: flow.Client, Dst: flow.Server, Seq: seq[d], Ack: seq[d.Other()], Flags: inet.ACK, Payload: b[:n]}
			if d == decode.ToClient {
				s.Src, s.Dst = s.Dst, s.Src
			}
			b, seq[d] = b[n:], seq[d]+uint32(n)
			at := decode.Mark{Frame: num, Time: time.Unix(int64(num), 0)}
			p.push(r.arrive(capture.Record{Num: num, Time: at.Time, Packet: &capture.Packet{Link: capture.LinkRaw}}, &s))
			switch rnd.IntN(12) {
			case 0:
				lost = true
				r.Gap(d, at, n)
			case 1:
				lost = true
				r.Gap(d, at, -1)
			default:
				r.Data(d, at, s.Payload)
			}
			if err := p.rest(num, at.Time, rnd.IntN(20) == 0); err != nil {
				t.Fatal(err)
			}
		}
		at := decode.Mark{Frame: num, Time: time.Unix(int64(num), 0)}
		r.End(decode.ToServer, at, decode.Fin)
		r.End(decode.ToClient, at, decode.Fin)
		if err := p.rest(num, at.Time, true); err != nil {
			t.Fatal(err)
		}
		if err := p.out.close(); err != nil {
			t.Fatal(err)
		}
		if p.waits != 0 || len(r.sides[0].pieces)+len(r.sides[1].pieces) > 0 || p.held != 0 {
			t.Errorf("%d bytes wait, %d of contents", p.waits, p.held)
		}
		src, err := capture.Open([]string{file.Name()}, nil, capture.Options{})
		if err != nil {
			if num > 0 {
				t.Fatal(err)
			}
			return
		}
		defer src.Close()
		in, table := inet.New(decode.Limits{}, nil), tcp.NewTable(decode.Limits{}, func(decode.Flow) decode.Conn { return nil }, nil)
		for {
			rec, err := src.Next()
			if err != nil {
				break
			}
			if s, ok := in.Segment(decode.Mark{Frame: rec.Num, Time: rec.Time}, rec.Packet); ok {
				table.Segment(decode.Mark{Frame: rec.Num, Time: rec.Time}, &s)
			}
		}
		table.Close(decode.Mark{Frame: num, Time: time.Unix(int64(num+100), 0)})
		if s := table.Stats(); !lost && (s.Gaps > 0 || s.OutOfWindow > 0 || s.Conflicts > 0) {
			t.Errorf("%+v", s)
		}
	})
}

// Sequence and acknowledgment numbers are those of a connection that lost
// nothing: each segment follows the one before, and what is acknowledged was
// sent, all of it in the end.
func TestNumbers(t *testing.T) {
	conv := capturetest.MustParse("down> POST /a/mcp gzip\n  rpc tools/list 7\ndown< 200 json gzip\n  fill 90000\ndown. close\n")
	for _, w := range []capturetest.Wrap{{HTTP2: true}, {TLS: tls.VersionTLS13}, {}, {TLS: tls.VersionTLS12, HTTP2: true, SeqWrap: true, MSS: 500}} {
		c := conv.Wrap(w)
		out, _, err := redacted(t, c.Bytes, Options{Clear: true, Keys: c.Keys})
		if err != nil {
			t.Errorf("%+v: %v", w, err)
			continue
		}
		src, err := capture.New("out", bytes.NewReader(out))
		if err != nil {
			t.Fatal(err)
		}
		in := inet.New(decode.Limits{}, nil)
		next, acked, bytes := map[netip.AddrPort]uint32{}, map[netip.AddrPort]uint32{}, 0
		for {
			r, err := src.Next()
			if err != nil {
				break
			}
			s, ok := in.Segment(decode.Mark{Frame: r.Num, Time: r.Time}, r.Packet)
			if !ok {
				t.Fatalf("%+v: frame %d is no TCP", w, r.Num)
			}
			if v, ok := next[s.Src]; ok && s.Seq != v {
				t.Errorf("%+v: frame %d: sequence number %d, want %d", w, r.Num, s.Seq, v)
			}
			bytes += len(s.Payload)
			v := s.Seq + uint32(len(s.Payload))
			if s.Flags&(inet.SYN|inet.FIN) != 0 {
				v++
			}
			next[s.Src] = v
			if s.Flags&inet.ACK == 0 {
				continue
			}
			if int32(s.Ack-next[s.Dst]) > 0 || acked[s.Dst] != 0 && int32(s.Ack-acked[s.Dst]) < 0 {
				t.Errorf("%+v: frame %d acknowledges %d, behind %d and up to %d", w, r.Num, s.Ack, acked[s.Dst], next[s.Dst])
			}
			acked[s.Dst] = s.Ack
		}
		for side, v := range next {
			if acked[side] != v {
				t.Errorf("%+v: %v is acknowledged up to %d of %d", w, side, acked[side], v)
			}
		}
		if bytes < 80_000 {
			t.Errorf("%+v: %d bytes", w, bytes)
		}
	}
}

// Calls behind a frame that was inserted are found again.
func TestInserted(t *testing.T) {
	conv := capturetest.MustParse("up> GET /large\nup< 200 text/plain gzip\n  fill 200000\n" + secretive)
	for _, w := range []capturetest.Wrap{{}, {HTTP2: true}, {Format: capturetest.Pcapng, Mix: true}} {
		_, res, err := redacted(t, conv.Wrap(w).Bytes, Options{})
		if err != nil || res.Inserted == 0 || res.Cases == 0 {
			t.Errorf("%+v: %+v %v", w, res, err)
		}
	}
}

// A call is the same only with its verdict and cause, in its frame or in what
// became of it, and none may come or go.
func TestSame(t *testing.T) {
	a, b := Judged{7, "swallowed-401", "token-rejected"}, Judged{20, "listed", ""}
	n := &numbers{inserted: []int{9, 9}, shifted: map[int][]int{30: {35}}}
	at := func(j Judged, frame int) Judged { j.Frame = frame; return j }
	for i, tt := range []struct {
		before, after []Judged
		ok            bool
	}{
		{[]Judged{a, b}, []Judged{a, at(b, 22)}, true},
		{[]Judged{a, b}, []Judged{at(b, 22), a}, true},
		{[]Judged{at(a, 30)}, []Judged{at(a, 35)}, true},
		{[]Judged{at(a, 30)}, []Judged{at(a, 32)}, true},
		{[]Judged{a, a}, []Judged{a, a}, true},
		{[]Judged{a, b}, []Judged{a, b}, false},
		{[]Judged{a, a}, []Judged{a}, false},
		{[]Judged{a}, []Judged{a, a}, false},
		{[]Judged{a}, []Judged{at(b, 7)}, false},
		{[]Judged{a}, []Judged{{7, a.Verdict, "token-expired"}}, false},
		{[]Judged{a}, nil, false},
		{nil, []Judged{a}, false},
	} {
		if err := same(tt.before, tt.after, n); (err == nil) != tt.ok {
			t.Errorf("%d: %v", i, err)
		}
	}
}

// A credential that is cut into chunks or DATA frames is found where it is left.
func TestLeftInBody(t *testing.T) {
	conv := capturetest.MustParse("down> POST /a/mcp\n  rpc tools/list 7\ndown< 200 text/plain chunked\n\n  a hunter2h\n  ...\ndown<< unter2unter2\n")
	for i, c := range []*capturetest.Capture{conv.Wrap(capturetest.Wrap{}), conv.Wrap(capturetest.Wrap{HTTP2: true})} {
		name := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(name, c.Bytes, 0o600); err != nil {
			t.Fatal(err)
		}
		src, err := capture.Open([]string{name}, nil, capture.Options{})
		if err != nil {
			t.Fatal(err)
		}
		before, err := Verdicts(src)
		if err != nil {
			t.Fatal(err)
		}
		for secret, want := range map[string]bool{"hunter2hunter2unter2": true, "hunter3hunter3": false} {
			seen := NewSecrets()
			seen.add([]byte(secret))
			var leak *Leak
			if err := prove(before, name, seen, &numbers{}); errors.As(err, &leak) != want {
				t.Errorf("%d: %s: %v", i, secret, err)
			}
		}
	}
}
