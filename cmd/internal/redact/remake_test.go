package redact

import (
	"bytes"

	"crypto/tls"

	"fmt"

	"os"

	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"

	"mcp401/decode/httpmsg"
	"mcp401/decode/stack"
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
