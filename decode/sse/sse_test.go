package sse

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"mcp401/decode"
)

// vectors are those of web-platform-tests, eventsource/, and ours below them.
// A want is "type:data [id]", joined by " | ", with Go escapes.
var vectors = []struct{ name, in, want string }{
	{"format-bom", "\xef\xbb\xbfdata:1\n\n\xef\xbb\xbfdata:2\n\ndata:3\n\n\n", `message:"1" [] | message:"3" []`},
	{"format-bom-2", "\xef\xbb\xbf\xef\xbb\xbfdata:1\n\ndata:2\n\ndata:3\n\n\n", `message:"2" [] | message:"3" []`},
	{"format-comments", "data:1\r:\x00\n:\r\ndata:2\n:" + strings.Repeat("x", 2048) + "\rdata:3\n:data:fail\r:" + strings.Repeat("x", 2048) + "\ndata:4\n\n", `message:"1\n2\n3\n4" []`},
	{"format-data-before-final-empty-line", "retry:1000\ndata:test1\n\nid:test\ndata:test2\n", `message:"test1" [] retry 1000 | cut message:"test2" []`},
	{"format-field-data", "data:\n\ndata\ndata\n\ndata:test\n\n\n", `message:"" [] | message:"\n" [] | message:"test" []`},
	{"format-field-event", "event:test\ndata:x\n\ndata:x\n\n\n", `test:"x" [] | message:"x" []`},
	{"format-field-event-empty", "event: \ndata:data\n\n\n", `message:"data" []`},
	{"format-field-id", "id: …\nretry: 200\ndata: hello\n\n", `message:"hello" […] retry 200`},
	{"format-field-id-3 persist", "id: 1\ndata: 1\n\ndata:2\n\n", `message:"1" [1] | message:"2" [1]`},
	{"format-field-id-3 reset", "id: 1\ndata: 1\n\nid:\ndata:2\n\ndata:3\n\n", `message:"1" [1] | message:"2" [] | message:"3" []`},
	{"format-field-id-3 reset bare", "id: 1\ndata: 1\n\nid\ndata:2\n\ndata:3\n\n", `message:"1" [1] | message:"2" [] | message:"3" []`},
	{"format-field-id-null 1", "id:\x00\x00\ndata:a\n\n", `message:"a" []`},
	{"format-field-id-null 2", "id:x\x00\ndata:a\n\n", `message:"a" []`},
	{"format-field-id-null 3", "id:\x00x\ndata:a\n\n", `message:"a" []`},
	{"format-field-id-null 4", "id:x\x00x\ndata:a\n\n", `message:"a" []`},
	{"format-field-id-null 5", "id: \x00\ndata:a\n\n", `message:"a" []`},
	{"format-field-parsing", "data:\x00\ndata:  2\rData:1\ndata\x00:2\ndata:1\r\x00data:4\nda-ta:3\rdata_5\ndata:3\rdata:\r\n data:32\ndata:4\n\n", `message:"\x00\n 2\n1\n3\n\n4" []`},
	{"format-field-retry", "retry:03000\ndata:x\n\n\n", `message:"x" [] retry 3000`},
	{"format-field-retry-bogus", "retry:3000\nretry:1000x\ndata:x\n\n\n", `message:"x" [] retry 3000`},
	{"format-field-retry-empty", "retry\ndata:test\n\n\n", `message:"test" []`},
	{"format-field-unknown", "data:test\n data\ndata\nfoobar:xxx\njustsometext\n:thisisacommentyay\ndata:test\n\n\n", `message:"test\n\ntest" []`},
	{"format-leading-space", "data:\ttest\rdata: \ndata:test\n\n\n", `message:"\ttest\n\ntest" []`},
	{"format-newlines", "data:test\r\ndata\ndata:test\r\n\r\n", `message:"test\n\ntest" []`},
	{"format-null-character", "data:\x00\n\n\n\n\n", `message:"\x00" []`},
	{"format-utf-8", "data:ok…\n\n", `message:"ok…" []`},
	{"event-data", "data:msg\ndata: msg\n\n:\nfalsefield:msg\n\nfalsefield:msg\nData:data\n\ndata\n\ndata:end\n\n", `message:"msg\nmsg" [] | message:"" [] | message:"end" []`},

	{"bad byte", "data: x\xff\n\n", `message:"x�" []`},
	{"bad bytes, one mark a maximal part", "data: \xe2\x82y\xf0\x9f\x98\xc0\xed\xa0\x80\n\n", `message:"�y�����" []`},
	{"id without event", "id: 7\n\ndata: a\n\n", `message:"a" [7]`},
	{"priming event", "id: s\nretry: 3000\ndata: \n\n", `message:"" [s] retry 3000`},
	{"ping", ": ping\r\n\r\n", ``},
	{"crlf", "event: message\r\ndata: {}\r\n\r\nevent: message\r\ndata: 2\r\n\r\n", `message:"{}" [] | message:"2" []`},
	{"cr only", "data: a\rdata: b\r\rdata: c\r\r", `message:"a\nb" [] | message:"c" []`},
	{"part of a byte order mark", "\xef\xbbdata:1\n\ndata:2\n\n", `message:"2" []`},
	{"huge retry", "retry: 99999999999999999999999\ndata: a\n\n", `message:"a" [] retry 86400000`},
	{"cut in a line", "data: a\n\nid: 2\ndata: b", `message:"a" [] | cut message:"b" []`},
	{"cut without data", "data: a\n\nid: 2\n", `message:"a" []`},
	{"empty", "", ``},
}

func show(e Event) string {
	var b strings.Builder
	if e.Comment {
		fmt.Fprintf(&b, "comment %q", e.Data)
		return b.String()
	}
	if e.Cut {
		b.WriteString("cut ")
	}
	kind := "message"
	if e.Type != nil {
		kind = string(e.Type)
	}
	fmt.Fprintf(&b, "%s:%q [%s]", kind, e.Data, e.ID)
	if e.Retry >= 0 {
		fmt.Fprintf(&b, " retry %d", e.Retry)
	}
	return b.String()
}

// run feeds the pieces, each in storage that is overwritten afterwards.
func run(d *Decoder, pieces ...[]byte) string {
	var out []string
	take := func(e Event) { out = append(out, show(e)) }
	for i, p := range pieces {
		p = bytes.Clone(p)
		d.Write(decode.Mark{Frame: i + 1}, p, take)
		for i := range p {
			p[i] = 0xaa
		}
	}
	d.End(decode.Mark{Frame: 99}, take)
	return strings.Join(out, " | ")
}

func TestVectorsAtEveryCut(t *testing.T) {
	for _, v := range vectors {
		t.Run(v.name, func(t *testing.T) {
			in := []byte(v.in)
			if got := run(&Decoder{}, in); got != v.want {
				t.Fatalf("whole:\n got %s\nwant %s", got, v.want)
			}
			for i := range in {
				if got := run(&Decoder{}, in[:i], in[i:]); got != v.want {
					t.Fatalf("cut at %d:\n got %s\nwant %s", i, got, v.want)
				}
			}
			var bytewise [][]byte
			for i := range in {
				bytewise = append(bytewise, in[i:i+1])
			}
			if got := run(&Decoder{}, bytewise...); got != v.want {
				t.Fatalf("byte by byte:\n got %s\nwant %s", got, v.want)
			}
		})
	}
}

// A decoder that had a stream before must treat the next one as the first.
func TestDecoderIsFreshAfterEnd(t *testing.T) {
	var d Decoder
	run(&d, []byte("id: 1\nevent: x\ndata: left\n"))
	if got, want := run(&d, []byte("\xef\xbb\xbfdata: a\n\n")), `message:"a" []`; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestCommentsAreEmittedWhenAsked(t *testing.T) {
	d := Decoder{Comments: true}
	got := run(&d, []byte(": ping - 2026\r\n\r\ndata: a\n:\n\n"))
	if want := `comment " ping - 2026" | comment "" | message:"a" []`; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestGapDropsTheDamagedEventOnly(t *testing.T) {
	const in = "id: 1\ndata: one\n\nid: 2\ndata: two\n\nid: 3\ndata: three\n\ndata: four\n\n"
	whole := strings.Split(run(&Decoder{}, []byte(in)), " | ")
	for from := range len(in) {
		for to := from + 1; to <= len(in); to++ {
			var out []string
			notes := 0
			d := Decoder{Note: func(n decode.Note) {
				if n.Code == "sse/gap" {
					notes++
				}
			}}
			take := func(e Event) {
				if !e.Cut {
					out = append(out, show(e))
				}
			}
			d.Write(decode.Mark{}, []byte(in[:from]), take)
			d.Gap(decode.Mark{})
			d.Write(decode.Mark{}, []byte(in[to:]), take)
			d.End(decode.Mark{}, take)
			if notes != 1 {
				t.Fatalf("hole %d..%d: %d notes", from, to, notes)
			}
			rest := strings.ReplaceAll(strings.Join(whole, " "), " [3]", " []")
			for _, e := range out {
				if !strings.Contains(strings.Join(whole, " "), e) && !strings.Contains(rest, e) {
					t.Fatalf("hole %d..%d: event %s was never sent", from, to, e)
				}
			}
		}
	}
}

func TestGapResumesAtTheNextBlankLine(t *testing.T) {
	var out []string
	take := func(e Event) { out = append(out, show(e)) }
	var d Decoder
	d.Write(decode.Mark{}, []byte("id: 1\ndata: a\n\ndata: b1"), take)
	d.Gap(decode.Mark{})
	d.Write(decode.Mark{}, []byte("tail\ndata: b3\n\ndata: c\n\n"), take)
	if got, want := strings.Join(out, " | "), `message:"a" [1] | message:"c" []`; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
}

func TestBoundDropsTheEventAndSaysSo(t *testing.T) {
	long := strings.Repeat("x", 100)
	for name, in := range map[string]string{
		"line":         "data: " + long + "\n\ndata: ok\n\n",
		"comment":      ":" + long + "\n\ndata: ok\n\n",
		"several":      strings.Repeat("data: "+long[:20]+"\n", 5) + "\ndata: ok\n\n",
		"lines behind": "data: " + long + "\ndata: more\nid: 7\n\ndata: ok\n\n",
	} {
		for cut := range len(in) {
			var codes []string
			d := Decoder{Limits: decode.Limits{Line: 64}, Note: func(n decode.Note) { codes = append(codes, n.Code) }}
			got := run(&d, []byte(in[:cut]), []byte(in[cut:]))
			if want := `message:"ok" []`; got != want {
				t.Fatalf("%s, cut at %d: got %s, want %s", name, cut, got, want)
			}
			if len(codes) != 1 || codes[0] != "limit/sse-line" {
				t.Fatalf("%s, cut at %d: notes %q", name, cut, codes)
			}
		}
	}
}

func TestStorageIsBounded(t *testing.T) {
	d := Decoder{Limits: decode.Limits{Line: 1 << 20}}
	most := 0
	piece := bytes.Repeat([]byte("y"), 1000)
	for range 10_000 {
		d.Write(decode.Mark{}, piece, func(Event) {})
		most = max(most, d.Held())
	}
	if most > 4<<20 {
		t.Fatalf("%d bytes are held for a line without an end", most)
	}
	d.Write(decode.Mark{}, []byte("\n\ndata: a\n\n"), func(Event) {})
	if d.Held() > 128<<10 {
		t.Fatalf("%d bytes are held after it", d.Held())
	}
}

// reference is the standard read literally: all of the stream at once.
func reference(in []byte) string {
	s := strings.TrimPrefix(string(in), "\xef\xbb\xbf")
	s = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(s)
	var out []string
	var data []string
	kind, id, last := "", "", ""
	lines := strings.Split(s, "\n")
	for _, line := range lines[:len(lines)-1] {
		if line == "" {
			last = id
			if data != nil {
				joined := strings.Join(data, "\n")
				if kind == "" {
					kind = "message"
				}
				out = append(out, fmt.Sprintf("%s:%q [%s]", kind, toValid(joined), last))
			}
			kind, data = "", nil
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			data = append(data, value)
		case "event":
			kind = value
		case "id":
			if !strings.Contains(value, "\x00") {
				id = value
			}
		}
	}
	return strings.Join(out, " | ")
}

// toValid replaces bad UTF-8 as a range loop sees it: a mark for each byte.
func toValid(s string) string {
	var b strings.Builder
	for _, r := range s {
		b.WriteRune(r)
	}
	return b.String()
}

func FuzzMatchesSlowReference(f *testing.F) {
	for _, v := range vectors {
		f.Add([]byte(v.in), uint16(3), uint16(9))
	}
	f.Fuzz(func(t *testing.T, in []byte, a, b uint16) {
		want := reference(in)
		i := int(a) % (len(in) + 1)
		j := i + int(b)%(len(in)-i+1)
		var out []string
		var d Decoder
		take := func(e Event) {
			e.Retry = -1
			out = append(out, show(e))
		}
		for _, p := range [][]byte{in[:i], in[i:j], in[j:]} {
			d.Write(decode.Mark{}, p, take)
		}
		got := strings.Join(out, " | ")
		if utf8.Valid(in) && got != want {
			t.Fatalf("cut at %d and %d:\n got %s\nwant %s", i, j, got, want)
		}
		if !utf8.Valid([]byte(got)) && utf8.Valid(in) {
			t.Fatal("data is no UTF-8")
		}
	})
}

func BenchmarkBigEventInOnePiece(b *testing.B) {
	p := []byte("event: message\r\ndata: " + strings.Repeat(`{"name":"tool"},`, 600) + "\r\n\r\n")
	var d Decoder
	emit := func(Event) {}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		d.Write(decode.Mark{}, p, emit)
	}
}

func BenchmarkBigEventInSegments(b *testing.B) {
	p := []byte("event: message\r\ndata: " + strings.Repeat(`{"name":"tool"},`, 600) + "\r\n\r\n")
	var d Decoder
	emit := func(Event) {}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		for i := 0; i < len(p); i += 1448 {
			d.Write(decode.Mark{}, p[i:min(i+1448, len(p))], emit)
		}
	}
}

func BenchmarkOnlyLineEnds(b *testing.B) {
	for _, end := range []string{"\n", "\r", "\r\n"} {
		p := bytes.Repeat([]byte(end), 100_000)
		b.Run(fmt.Sprintf("%q", end), func(b *testing.B) {
			var d Decoder
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				d.Write(decode.Mark{}, p, func(Event) {})
			}
		})
	}
}
