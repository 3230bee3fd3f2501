package tls

import (
	"bytes"
	stdtls "crypto/tls"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// A heard is what a connection carried, and what was noted of it.
type heard struct {
	text  [2]bytes.Buffer
	gaps  [2]int
	ends  [2]decode.End
	marks [2][]int // frames
	codes []string
	info  Info
	keys  *Keys
	conn  *Conn
}

type ear struct{ h *heard }

func (e ear) Data(d decode.Dir, at decode.Mark, p []byte) {
	e.h.text[d].Write(p)
	e.h.marks[d] = append(e.h.marks[d], at.Frame)
}
func (e ear) Gap(d decode.Dir, at decode.Mark, n int) {
	e.h.gaps[d]++
	if n > 0 {
		e.h.text[d].Write(make([]byte, n))
	} else {
		e.h.text[d].WriteString("\x00?")
	}
}
func (e ear) End(d decode.Dir, at decode.Mark, why decode.End) { e.h.ends[d] = why }

func newHeard(keys *Keys, cfg Config) *heard {
	h := &heard{keys: keys}
	cfg.Keys = keys
	cfg.Note = func(n decode.Note) { h.codes = append(h.codes, n.Code) }
	cfg.Inner = func(*Info) decode.Conn { return ear{h} }
	h.conn = New(cfg)
	return h
}

func (h *heard) play(steps []decodetest.Step) *heard {
	for _, st := range steps {
		feed(h.conn, st)
	}
	h.info = *h.conn.Info()
	return h
}

// listen decodes steps with secrets that are there from the begin.
func listen(steps []decodetest.Step, keys []byte) *heard {
	k := NewKeys(decode.Limits{})
	k.Add(keys)
	k.Done(decode.Mark{})
	return newHeard(k, Config{}).play(steps)
}

func (h *heard) want(t *testing.T, lines []string) {
	t.Helper()
	var text [2]string
	for _, l := range lines {
		text[strings.IndexByte("><", l[0])] += l[1:]
	}
	for d := range text {
		if got := h.text[d].String(); got != text[d] {
			t.Fatalf("%s: %.200q, want %.200q; notes %v, %+v", decode.Dir(d), got, text[d], h.codes, h.info)
		}
	}
}

func TestClientCertificate(t *testing.T) {
	for _, v := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		k := talk{lines: request}
		k.client.MaxVersion = v
		k.server.ClientAuth = stdtls.RequireAnyClientCert
		k.client.Certificates = []stdtls.Certificate{certOnce()}
		rec := k.record(t)
		h := listen(rec.steps, rec.keys.Bytes())
		h.want(t, request)
		if !h.info.ClientCert {
			t.Error("no client certificate")
		}
		if v == stdtls.VersionTLS12 {
			if i := listen(rec.steps, nil).info; !i.ClientCert || i.Subject != "mcp example" || i.Why != noKey || i.Decrypted {
				t.Errorf("%+v", i)
			}
		}

		// The client has none: the server refuses it.
		k = talk{}
		k.client.MaxVersion = v
		k.server.ClientAuth = stdtls.RequireAnyClientCert
		rec = k.record(t)
		h = listen(rec.steps, rec.keys.Bytes())
		want := "certificate_required"
		if v == stdtls.VersionTLS12 {
			want = "handshake_failure"
		}
		if i := h.info; i.Alert != want || i.AlertFrom != decode.ToClient || i.ClientCert || i.Decrypted || i.Why != "" {
			t.Errorf("%+v", i)
		}
	}
}

func TestFailedHandshake(t *testing.T) {
	k := talk{}
	k.client.MinVersion = stdtls.VersionTLS13
	k.server.MaxVersion = stdtls.VersionTLS12
	rec := k.record(t)
	for _, keys := range [][]byte{nil, rec.keys.Bytes()} {
		h := listen(rec.steps, keys)
		if i := h.info; i.Alert != "protocol_version" || i.HandshakeDone || i.Why != "" || len(h.codes) > 0 {
			t.Errorf("%+v %v", i, h.codes)
		}
	}
	k = talk{}
	k.client.ServerName = "x"
	k.client.VerifyConnection = func(stdtls.ConnectionState) error { return fmt.Errorf("no") }
	rec = k.record(t)
	if i := listen(rec.steps, rec.keys.Bytes()).info; i.Alert != "bad_certificate" || i.AlertFrom != decode.ToServer || i.HandshakeDone {
		t.Errorf("%+v", i)
	}
	if i := listen(rec.steps, nil).info; i.HandshakeDone || i.Alert != "" || i.Records != 0 {
		t.Errorf("%+v", i)
	}
}

func TestHelloRetryRequest(t *testing.T) {
	k := talk{lines: request}
	k.client.CurvePreferences = []stdtls.CurveID{stdtls.X25519, stdtls.CurveP384}
	k.server.CurvePreferences = []stdtls.CurveID{stdtls.CurveP384}
	rec := k.record(t)
	h := listen(rec.steps, rec.keys.Bytes())
	h.want(t, request)
	if !h.info.HRR || h.info.Version != "1.3" {
		t.Errorf("%+v", h.info)
	}
	harness(t, rec, rec.keys.Bytes(), told("open mcp.example  1.3 "+h.info.Suite, k.lines))
}

func TestResumption(t *testing.T) {
	for _, v := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		k := talk{lines: request}
		k.client.MaxVersion = v
		k.client.ClientSessionCache = stdtls.NewLRUClientSessionCache(1)
		first := k.record(t)
		second := talk{lines: request}
		second.client = stdtls.Config{MaxVersion: v, ClientSessionCache: k.client.ClientSessionCache}
		second.server = *k.server.Clone()
		rec := second.record(t)
		if v == stdtls.VersionTLS13 {
			h := listen(rec.steps, rec.keys.Bytes())
			h.want(t, request)
			if !h.info.Resumed {
				t.Errorf("%+v", h.info)
			}
			continue
		}
		// crypto/tls does not log the secret of a resumed session again, so the
		// ticket of the first connection must have been seen.
		keys := NewKeys(decode.Limits{})
		keys.Add(first.keys.Bytes())
		keys.Done(decode.Mark{})
		newHeard(keys, Config{}).play(first.steps).want(t, request)
		h := newHeard(keys, Config{}).play(rec.steps)
		h.want(t, request)
		if !h.info.Resumed {
			t.Errorf("%+v", h.info)
		}
		if i := listen(rec.steps, first.keys.Bytes()).info; i.Why != noKey {
			t.Errorf("%+v", i)
		}
	}
}

func TestSessionID(t *testing.T) {
	k := NewKeys(decode.Limits{Resumptions: 2})
	m := strings.Repeat("ab", 48)
	for _, id := range []string{"01", "02", "03"} {
		if bad := k.Add([]byte("RSA Session-ID:" + id + " Master-Key:" + m + "\n")); bad != 0 {
			t.Fatal(bad)
		}
	}
	if k.session(sessionName([]byte{1})) != nil || k.session(sessionName([]byte{3})) == nil || len(k.sessions) != 2 {
		t.Error("the oldest session was not forgotten")
	}
}

// Secrets may come at any time.
func TestLateKeys(t *testing.T) {
	for _, v := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		k := talk{lines: request}
		k.client.MaxVersion = v
		rec := k.record(t)
		keylog := rec.keys.Bytes()
		plain := listen(rec.steps, keylog)
		lines := bytes.SplitAfter(keylog, []byte("\n"))
		for i := range len(rec.steps) + 1 {
			for _, retry := range []bool{true, false} {
				keys := NewKeys(decode.Limits{})
				h := newHeard(keys, Config{})
				h.play(rec.steps[:i])
				for _, l := range lines { // one after the other
					keys.Add(l)
					if retry {
						keys.Retry(decode.Mark{})
					}
				}
				h.play(rec.steps[i:])
				keys.Retry(decode.Mark{})
				h.info = *h.conn.Info()
				h.want(t, request)
				if !slices.Equal(h.marks[0], plain.marks[0]) || !slices.Equal(h.marks[1], plain.marks[1]) || h.ends != plain.ends {
					t.Errorf("%x after %d: frames %v, ends %v; in time %v, %v", v, i, h.marks, h.ends, plain.marks, plain.ends)
				}
				if late := slices.Contains(h.codes, "tls/late-key"); late != (i == len(rec.steps)) && (i < 2 || i == len(rec.steps)) {
					t.Errorf("%x after %d: %v", v, i, h.codes)
				}
				if keys.held != 0 || keys.Waiting() != 0 || h.conn.held != 0 {
					t.Errorf("%d bytes still held, %d waiting", keys.held, keys.Waiting())
				}
			}
		}
	}
}

// Lines of which each is known by its number, so that text can be checked by
// itself.
func counted(n int) []string {
	var lines []string
	for i := range n {
		var b strings.Builder
		b.WriteByte("><"[i%2])
		for j := range 20 + i%7*60 {
			fmt.Fprintf(&b, "%04d.%05d\n", i, j)
		}
		lines = append(lines, b.String())
	}
	return lines
}

// Whatever holes there are, what is told is what was said, and its place is
// right where the size of a hole is told.
func TestHoles(t *testing.T) {
	for _, v := range []uint16{stdtls.VersionTLS11, stdtls.VersionTLS12, stdtls.VersionTLS13} {
		for _, suite := range []uint16{0, stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, stdtls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256} {
			if v == stdtls.VersionTLS11 && suite != stdtls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA || v == stdtls.VersionTLS13 && suite != 0 {
				continue
			}
			k := talk{lines: counted(60)}
			k.client.MinVersion, k.client.MaxVersion, k.server.MinVersion = v, v, stdtls.VersionTLS10
			if suite != 0 {
				k.client.CipherSuites = []uint16{suite}
			}
			t.Run(fmt.Sprintf("%x-%x", v, suite), func(t *testing.T) { holes(t, &k) })
		}
	}
}

func holes(t *testing.T, k *talk) {
	rec := k.record(t)
	var said [2]string
	for _, l := range k.lines {
		said[strings.IndexByte("><", l[0])] += l[1:]
	}
	all, got := 0, 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 3))
		var steps []decodetest.Step
		for _, st := range rec.steps {
			size := 1 + r.IntN(1500)
			for st.Kind == decodetest.Data && len(st.Data) > 0 {
				one := st
				one.Data = st.Data[:min(size, len(st.Data))]
				st.Data = st.Data[len(one.Data):]
				if r.IntN(100) < int(seed%8) {
					one.Kind, one.N = decodetest.Gap, len(one.Data)
					if seed%3 == 0 {
						one.N = -1
					}
				}
				steps = append(steps, one)
			}
			if st.Kind != decodetest.Data {
				steps = append(steps, st)
			}
		}
		h := listen(steps, rec.keys.Bytes())
		for d := range said {
			rest := said[d]
			all += len(rest)
			for _, piece := range strings.FieldsFunc(h.text[d].String(), func(r rune) bool { return r == 0 || r == '?' }) {
				i := strings.Index(rest, piece)
				if i < 0 {
					t.Fatalf("seed %d: %s told what was not said: %.100q", seed, decode.Dir(d), piece)
				}
				got += len(piece)
				rest = rest[i+len(piece):]
			}
			if text := h.text[d].String(); !strings.Contains(text, "?") && len(text) > 0 {
				for i := range text {
					if text[i] != 0 && text[i] != said[d][i] {
						t.Fatalf("seed %d: %s byte %d is not in its place: %v", seed, decode.Dir(d), i, h.codes)
					}
				}
			}
		}
	}
	t.Logf("%d of %d bytes", got, all)
	if got*2 < all {
		t.Errorf("too little was found again: %d of %d bytes", got, all)
	}
}

func TestMidStream(t *testing.T) {
	for _, v := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		k := talk{lines: request}
		k.client.MaxVersion = v
		rec := k.record(t)
		// Only the last six frames were captured.
		steps := rec.steps[len(rec.steps)-8:]
		for _, mid := range []bool{true, false} {
			keys := NewKeys(decode.Limits{})
			keys.Add(rec.keys.Bytes())
			h := newHeard(keys, Config{Flow: decode.Flow{Mid: mid}}).play(steps)
			if i := h.info; i.Decrypted || i.Why != "tls/mid-stream" || i.Records == 0 || h.codes[0] != "tls/mid-stream" {
				t.Errorf("%x: %+v %v", v, i, h.codes)
			}
			if keys.held != 0 || h.conn.Waiting() {
				t.Error("something is still held")
			}
		}
		// The capture has all but the SYN.
		keys := NewKeys(decode.Limits{})
		keys.Add(rec.keys.Bytes())
		newHeard(keys, Config{Flow: decode.Flow{Mid: true}}).play(rec.steps).want(t, request)
	}
}

func TestUnsupported(t *testing.T) {
	k := talk{lines: request}
	k.client.MaxVersion = stdtls.VersionTLS12
	k.client.CipherSuites = []uint16{stdtls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA}
	k.server.CipherSuites = k.client.CipherSuites
	rec := k.record(t)
	h := listen(rec.steps, rec.keys.Bytes())
	if i := h.info; i.Why != "tls/unsupported" || i.Suite != "0xc007" || i.Decrypted || !i.HandshakeDone || !slices.Equal(h.codes, []string{"tls/unsupported"}) {
		t.Errorf("%+v %v", i, h.codes)
	}
}

func TestNotTLS(t *testing.T) {
	k := talk{}
	rec := k.record(t)
	hello := rec.steps[0]
	for _, answer := range []string{"HTTP/1.1 400 Bad Request\r\n\r\n", "\x16\x03HTTP"} {
		h := newHeard(nil, Config{})
		var plain heard
		h.conn.cfg.Plain = func() decode.Conn { return ear{&plain} }
		h.play([]decodetest.Step{hello})
		for i := range answer {
			h.conn.Data(decode.ToClient, decode.Mark{Frame: 2}, []byte(answer[i:i+1]))
		}
		h.conn.Gap(decode.ToClient, decode.Mark{Frame: 3}, 3)
		h.conn.End(decode.ToClient, decode.Mark{Frame: 4}, decode.Fin)
		h.conn.End(decode.ToServer, decode.Mark{Frame: 4}, decode.Fin)
		if i := h.conn.Info(); i.Why != "tls/not-tls" || i.ServerName != "mcp.example" {
			t.Errorf("%+v", i)
		}
		if plain.text[1].String() != answer+"\x00\x00\x00" || plain.ends[1] != decode.Fin {
			t.Errorf("%q %v", &plain.text[1], plain.ends)
		}
	}
}

// Without secrets the shape shows how many requests there were, and how large
// the answers.
func TestShape(t *testing.T) {
	for _, v := range []uint16{stdtls.VersionTLS12, stdtls.VersionTLS13} {
		k := talk{lines: request}
		k.client.MaxVersion = v
		k.server.SessionTicketsDisabled = true
		rec := k.record(t)
		h := listen(rec.steps, nil)
		var got []string
		for _, s := range h.info.Shape {
			got = append(got, fmt.Sprint(s.Dir, " ", s.N))
		}
		var want []string
		for _, l := range request {
			want = append(want, fmt.Sprint(decode.Dir(strings.IndexByte("><", l[0])), " ", len(l)-1))
		}
		if v == stdtls.VersionTLS13 {
			got = got[:min(len(got), len(want))] // behind them the alerts that close, which look the same
		}
		if !slices.Equal(got, want) || !h.info.HandshakeDone {
			t.Errorf("%x: %v, want %v", v, got, want)
		}
		if !slices.Equal(h.codes, []string{noKey}) {
			t.Error(h.codes)
		}
	}
}

func TestReset(t *testing.T) {
	k := talk{lines: request}
	rec := k.record(t)
	n := len(rec.steps) - 4 // without the alerts and FINs
	h := listen(rec.steps[:n], rec.keys.Bytes())
	h.conn.End(decode.ToServer, decode.Mark{}, decode.Reset)
	h.conn.End(decode.ToClient, decode.Mark{}, decode.Reset)
	if h.ends != [2]decode.End{decode.Reset, decode.Reset} {
		t.Error(h.ends)
	}
}
