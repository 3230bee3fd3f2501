package tls

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/inet"
	"mcp401/decode/tcp"
)

// shared finds a folder beside the project, or skips the test.
func shared(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
	}
	p := filepath.Join(dir, "..", "shared", name)
	if _, err := os.Stat(p); err != nil {
		t.Skipf("no folder ../shared/%s beside the project", name)
	}
	return p
}

// A tally is what a capture comes to.
type tally struct {
	conns []*Conn
	bytes int
	codes map[string]int
}

// plainText counts what connections carried.
type plainText struct {
	t *tally
	b *[2]strings.Builder
}

func (p plainText) Data(d decode.Dir, at decode.Mark, b []byte) {
	p.t.bytes += len(b)
	p.b[d].Write(b)
}
func (p plainText) Gap(d decode.Dir, at decode.Mark, n int) { p.b[d].WriteString("<gap>") }
func (p plainText) End(decode.Dir, decode.Mark, decode.End) {}

// other is a connection that is not TLS.
type other struct{ decode.Conn }

func (other) Data(decode.Dir, decode.Mark, []byte)    {}
func (other) Gap(decode.Dir, decode.Mark, int)        {}
func (other) End(decode.Dir, decode.Mark, decode.End) {}

// lazy finds out whether a connection is TLS.
type lazy struct {
	decode.Conn
	open func() decode.Conn
}

func (l *lazy) Data(d decode.Dir, at decode.Mark, p []byte) {
	if l.Conn == nil {
		l.Conn = other{}
		if Sniff(d, p) != decode.No {
			l.Conn = l.open()
		}
	}
	l.Conn.Data(d, at, p)
}

func (l *lazy) Gap(d decode.Dir, at decode.Mark, n int) {
	if l.Conn == nil {
		l.Conn = l.open()
	}
	l.Conn.Gap(d, at, n)
}

func (l *lazy) End(d decode.Dir, at decode.Mark, why decode.End) {
	if l.Conn != nil {
		l.Conn.End(d, at, why)
	}
}

// run decodes a capture. late gives the key log at its end.
func run(t testing.TB, file string, keylog []byte, late bool) *tally {
	t.Helper()
	f, err := capture.Open([]string{file}, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := &tally{codes: map[string]int{}}
	keys := NewKeys(decode.Limits{})
	if !late {
		keys.Add(keylog)
	}
	note := func(n decode.Note) { out.codes[n.Code]++ }
	dec := inet.New(decode.Limits{}, nil)
	table := tcp.NewTable(decode.Limits{}, func(flow decode.Flow) decode.Conn {
		return &lazy{open: func() decode.Conn {
			b := new([2]strings.Builder)
			inner := func(*Info) decode.Conn { return plainText{out, b} }
			c := New(Config{Keys: keys, Flow: flow, Note: note, Inner: inner, Plain: func() decode.Conn { return plainText{out, b} }})
			out.conns = append(out.conns, c)
			return c
		}}
	}, func(decode.Note) {})
	var at decode.Mark
	for {
		r, err := f.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Log(err)
			break
		}
		at = decode.Mark{Frame: r.Num, Time: r.Time}
		switch {
		case r.Secret != nil:
			keys.Add(r.Secret.Lines)
			keys.Retry(at)
		case r.Packet != nil:
			if s, ok := dec.Segment(at, r.Packet); ok {
				table.Segment(at, &s)
			}
		}
	}
	table.Close(at)
	if late {
		keys.Add(keylog)
	}
	keys.Done(at)
	return out
}

// carried is how many bytes of application data tshark finds in all
// connections of a capture (follow,tls), and in one those that are no TLS.
var carried = map[string]int{
	"tls-fragmented-handshakes.pcap.gz": 0, "tls-to-http-server.pcap": 341,
	"tls-h2-brotli-dsb.pcapng": 374, "tls-h2-reassembly.pcap": 76344, "tls11-keys.pcap": 624, "tls12-chacha20.pcap": 29493,
	"tls12-etm-cbc.pcapng": 6, "tls12-etm-cbc128.pcapng": 7, "tls12-renegotiation.pcapng": 6, "tls12-two-dsb.pcapng": 828,
	"tls13-0rtt-no-early-key.pcap": 401, "tls13-0rtt-resumption.pcap": 424, "tls13-h2-google.pcap": 17442,
	"tls13-http1-mldsa.pcapng": 3280, "tls13-http1.pcapng": 8991, "tls13-http2.pcapng": 2049, "tls13-keyupdate.pcap": 57,
	"tls13-mutual-ed25519.pcap": 2573, "tls13-pq-keyshare.pcapng": 6,
}

func TestCorpus(t *testing.T) {
	dir := shared(t, "corpus")
	files, _ := filepath.Glob(filepath.Join(dir, "tls*.pcap*"))
	more, _ := filepath.Glob(filepath.Join(dir, "private", "*tls*.pcap*"))
	for _, file := range append(files, more...) {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			keylog, _ := os.ReadFile(strings.TrimSuffix(strings.TrimSuffix(file, ".gz"), filepath.Ext(strings.TrimSuffix(file, ".gz"))) + ".keys")
			got := run(t, file, keylog, false)
			for _, c := range got.conns {
				i := *c.Info()
				i.Shape = nil
				t.Logf("%+v", i)
			}
			if want, ok := carried[name]; ok && got.bytes != want || !ok && got.bytes == 0 {
				t.Errorf("%d bytes, want %d: %v", got.bytes, want, got.codes)
			}
			late := run(t, file, keylog, true)
			if fmt.Sprint(late.bytes) != fmt.Sprint(got.bytes) {
				t.Errorf("with late keys %d bytes, else %d: %v", late.bytes, got.bytes, late.codes)
			}
		})
	}
}

func TestGateway(t *testing.T) {
	dir := shared(t, "captures")
	files, _ := filepath.Glob(filepath.Join(dir, "*tls.pcap"))
	for _, file := range files {
		keylog, err := os.ReadFile(strings.TrimSuffix(file, ".pcap") + ".keys")
		if err != nil {
			t.Fatal(err)
		}
		for _, late := range []bool{false, true} {
			got := run(t, file, keylog, late)
			dark := 0
			for _, c := range got.conns {
				if i := c.Info(); !i.Decrypted {
					dark++
					if i.Why != noKey {
						t.Errorf("%s: %+v", filepath.Base(file), i)
					}
				}
			}
			// One connection is that of a probe that wrote no key log.
			if dark > 1 || got.bytes == 0 {
				t.Errorf("late %v: %d of %d connections are not decrypted: %v", late, dark, len(got.conns), got.codes)
			}
		}
	}
}
