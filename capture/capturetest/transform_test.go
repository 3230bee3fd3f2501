package capturetest

import (
	"bytes"
	"crypto/tls"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"mcp401/capture"
)

func TestDouble(t *testing.T) {
	in := MustParse(swallowed).Records()
	out := Double(in)
	if len(out) != 2*len(in) {
		t.Fatalf("%d of %d", len(out), len(in))
	}
	for i, r := range out {
		if r.Num != i+1 || r.Packet != in[i/2].Packet {
			t.Fatalf("record %d is %+v", i, r)
		}
	}
}

func TestReorder(t *testing.T) {
	in := MustParse(swallowed).Wrap(Wrap{MSS: 40}).Records
	out := Reorder(in, 1, 3)
	moved := 0
	for i, r := range out {
		was := slices.IndexFunc(in, func(o capture.Record) bool { return o.Packet == r.Packet })
		if d := was - i; d < -3 || d > 1 {
			t.Errorf("packet %d moved by %d", was, d)
		} else if d != 0 {
			moved++
		}
		if !r.Time.Equal(in[i].Time) {
			t.Error("a time moved")
		}
		if d := r.Time.Sub(in[was].Time).Abs(); d >= 2*time.Millisecond {
			t.Errorf("packet %d moved by %v", was, d)
		}
	}
	if moved < len(in)/10 {
		t.Errorf("%d of %d moved", moved, len(in))
	}
	if len(out) != len(in) {
		t.Errorf("%d of %d", len(out), len(in))
	}
}

func TestDrop(t *testing.T) {
	in := MustParse(swallowed).Wrap(Wrap{MSS: 40}).Records
	out := Drop(in, 1, .3)
	if n := len(out); n < len(in)/2 || n > len(in)*9/10 {
		t.Errorf("%d of %d left", n, len(in))
	}
	if n := len(Drop(in, 1, 0)); n != len(in) {
		t.Errorf("rate 0 leaves %d of %d", n, len(in))
	}
	if n := len(Drop(in, 1, 1)); n != 0 {
		t.Errorf("rate 1 leaves %d", n)
	}
	w := MustParse(swallowed).Wrap(Wrap{Drop: 1})
	if w.Expect[0].Frame != 0 || len(readBack(t, w.Bytes)) != 0 {
		t.Error("everything was dropped, yet something is there")
	}
}

func TestMix(t *testing.T) {
	a, b := MustParse(swallowed).Records(), MustParse("x> GET /x\n~ 1h\nx. close\n").Records()
	out := Mix(a, b)
	if len(out) != len(a)+len(b) || !slices.IsSortedFunc(out, func(a, b capture.Record) int { return a.Time.Compare(b.Time) }) {
		t.Fatal("not a merge")
	}
	begin, span := extent(out)
	if wantBegin, wantSpan := extent(a); !begin.Equal(wantBegin) || span != wantSpan {
		t.Errorf("from %v for %v", begin, span)
	}
	rest := slices.DeleteFunc(slices.Clone(out), func(r capture.Record) bool {
		return !slices.ContainsFunc(a, func(o capture.Record) bool { return o.Packet == r.Packet })
	})
	if d := cmp.Diff(number(rest), a); d != "" {
		t.Error(d)
	}
	if n := len(Mix(nil, a)) + len(Mix(a, nil)); n != 2*len(a) {
		t.Errorf("%d", n)
	}
}

func TestSplit(t *testing.T) {
	in := MustParse(swallowed).Records()
	var out []capture.Record
	parts := Split(in, 3)
	for _, p := range parts {
		out = append(out, p...)
	}
	if d := cmp.Diff(in, out); d != "" || len(parts) != 3 {
		t.Error(d)
	}
}

func TestWritePcapPanicsOnTwoLinks(t *testing.T) {
	defer func() {
		if r := recover(); r == nil {
			t.Error("no panic")
		}
	}()
	WritePcap(append(MustParse(". open").Records(), MustParse(". open").Wrap(Wrap{Link: SLL}).Records...), File{})
}

func TestPcapngOfSeveralInterfaces(t *testing.T) {
	records := append(MustParse(". open").Records(), MustParse(". open").Wrap(Wrap{Link: SLL}).Records...)
	secret := capture.Record{Secret: &capture.Secret{Lines: []byte("CLIENT_RANDOM 00 11\n")}}
	loss := capture.Record{Time: defaultStart, Loss: &capture.Loss{Packets: 4, Interface: 7}}
	file := WritePcapng(append([]capture.Record{secret}, append(records, loss)...), File{})
	var links []string
	for _, f := range readBack(t, file) {
		links = append(links, f.link.String())
	}
	if got := strings.Join(links, " "); got != strings.Repeat("Ethernet ", 3)+"Linux SLL Linux SLL Linux SLL" {
		t.Error(got)
	}
	if !bytes.Contains(file, []byte("KSLT")) || !bytes.Contains(file, secret.Secret.Lines) {
		t.Error("no decryption secrets")
	}
}

func TestEmptyFiles(t *testing.T) {
	if n := len(readBack(t, WritePcapng(nil, File{}))); n != 0 {
		t.Errorf("%d frames", n)
	}
	r, err := pcapgo.NewReader(bytes.NewReader(WritePcap(nil, File{Link: capture.LinkRaw})))
	if err != nil || r.LinkType() != layers.LinkTypeRaw || r.Snaplen() != 262144 {
		t.Errorf("%v %v", err, r)
	}
}

// A reused is a source that overwrites its bytes, as sources may.
type reused struct {
	records []capture.Record
	packet  capture.Packet
	buf     []byte
	closed  bool
	err     error
}

func (s *reused) Next() (capture.Record, error) {
	clear(s.buf)
	if len(s.records) == 0 {
		return capture.Record{}, s.err
	}
	r := s.records[0]
	s.records = s.records[1:]
	switch {
	case r.Packet != nil:
		s.buf = append(s.buf[:0], r.Packet.Data...)
		s.packet = *r.Packet
		s.packet.Data = s.buf
		r.Packet = &s.packet
	case r.Secret != nil:
		s.buf = append(s.buf[:0], r.Secret.Lines...)
		r.Secret = &capture.Secret{Lines: s.buf}
	}
	return r, nil
}

func (s *reused) Close() error { s.closed = true; return nil }

func TestCollect(t *testing.T) {
	in := MustParse("> GET /\n! drops 3\n. close").Wrap(Wrap{TLS: tls.VersionTLS13, Format: Pcapng, DSB: true}).Records
	src := &reused{records: in, err: io.EOF}
	out, err := Collect(src)
	if d := cmp.Diff(in, out); d != "" || err != nil || !src.closed {
		t.Errorf("%v, closed %v: %s", err, src.closed, d)
	}
	if out, err := Collect(&reused{records: in[:2], err: io.ErrUnexpectedEOF}); err == nil || len(out) != 2 {
		t.Errorf("%d records, %v", len(out), err)
	}
}
