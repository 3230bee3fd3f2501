package capture_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"

	"mcp401/capture"
)

// keepsOrder reads a stream whole and byte by byte, and wants the same, with
// packets numbered one after the other and within their own lengths.
func keepsOrder(t *testing.T, b []byte) {
	whole := tellBytes(b)
	pieces := story{}
	if f, err := capture.New("x", iotest.OneByteReader(bytes.NewReader(b))); err != nil {
		pieces.err = err
	} else {
		pieces = tell(f)
	}
	if !slices.Equal(whole.records, pieces.records) || !slices.Equal(whole.warnings, pieces.warnings) {
		t.Errorf("whole:\n%s\n%q\nin pieces:\n%s\n%q", whole, whole.warnings, pieces, pieces.warnings)
	}
	if (whole.err == nil) != (pieces.err == nil) || whole.err != nil && whole.err.Error() != pieces.err.Error() {
		t.Errorf("whole: %v, in pieces: %v", whole.err, pieces.err)
	}
	f, err := capture.New("x", bytes.NewReader(b))
	if err != nil {
		return
	}
	num := 0
	for {
		rec, err := f.Next()
		if err != nil {
			return
		}
		if rec.Packet != nil {
			num++
			if len(rec.Packet.Data) > rec.Packet.Length {
				t.Errorf("packet %d: %d bytes of %d", num, len(rec.Packet.Data), rec.Packet.Length)
			}
		}
		if rec.Entry == nil && rec.Num != num {
			t.Errorf("record %d after %d packets", rec.Num, num)
		}
	}
}

func FuzzPcapNeverPanicsAndKeepsOrder(f *testing.F) {
	for _, order := range []byteOrder{le, be} {
		for _, magic := range []uint32{magicMicro, magicNano, magicModified} {
			f.Add(newPcapFile(order, magic).packet(at(1), []byte("abc")).packet(at(2), nil).raw(at(3), 2, 9, []byte("de")).bytes())
		}
		f.Add(newPcapVersion(order, magicMicro, 2, 3, 101).raw(at(3), 9, 2, []byte("de")).bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) { keepsOrder(t, b) })
}

func FuzzPcapngNeverPanicsAndKeepsOrder(f *testing.F) {
	for _, order := range []byteOrder{le, be} {
		p := newPcapngFile(order)
		p.iface(1, 4, option{9, []byte{9}}, p.u64(14, 5)).enhanced(0, 1<<40, []byte("abc"), p.u64(4, 2))
		p.simple(9, []byte("abcd")).obsolete(0, 3, 1<<40, []byte("x")).statistics(0, 1<<40, p.u64(5, 7), p.u64(7, 7))
		p.secrets(0x544c534b, "CLIENT_RANDOM").section(be).iface(101, 0).enhanced(0, 0, nil)
		f.Add(p.bytes())
	}
	f.Fuzz(func(t *testing.T, b []byte) { keepsOrder(t, b) })
}

// Anything at all may be given, compressed or not.
func FuzzNewNeverPanics(f *testing.F) {
	for _, b := range samples() {
		for _, c := range compressed(b) {
			f.Add(c[:min(len(c), 300)])
		}
	}
	f.Add([]byte("{\x00\"\x00\x3d\xd8"))
	f.Add([]byte(`{"log":0 }`))
	f.Fuzz(func(t *testing.T, b []byte) { keepsOrder(t, b) })
}

// FuzzHARHasTheEntriesOfTheJSON: of valid JSON exactly the objects that
// encoding/json finds in log.entries are delivered; of invalid JSON no more
// than it has, and never without a word.
func FuzzHARHasTheEntriesOfTheJSON(f *testing.F) {
	one := entryAt(0, "http://h/\\u00e4")
	for _, s := range []string{
		harOf(), harOf(one), harOf(one, "null", "[]", `"x"`, "1e9", one), "\ufeff" + harOf(one),
		`{"log":{"entries":[{"request":{"headers":[{"name":"a"},7],"postData":{"text":"\ud83d\ude00"}},"response":{"status":"x","content":{"text":"aGk","encoding":"base64"}},"timings":[],"_eventSourceMessages":[{}]}]}}`,
		`{"log":null,"x":{"entries":[{}]}}`, `{"log":{"entries":{"a":[{}]},"pages":[[{}]]}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		src, err := capture.New("x", bytes.NewReader([]byte(s)))
		if err != nil {
			return
		}
		got, last := 0, error(nil)
		for last == nil {
			var rec capture.Record
			if rec, last = src.Next(); rec.Entry != nil {
				got++
			}
		}
		if src.Input().Kind != "har" {
			return
		}
		text := bytes.TrimPrefix([]byte(s), []byte("\ufeff"))
		if !jsontext.Value(text).IsValid() { // also with names that occur twice
			if json.Valid(text) || len(src.Warnings()) > 0 || last != io.EOF {
				return
			}
			// What follows the document is not looked at.
			var first json.RawMessage
			if err := json.NewDecoder(bytes.NewReader(text)).Decode(&first); err != nil {
				t.Errorf("broken JSON was read without a word: %v", err)
			}
			return
		}
		want, isHAR := objects(text)
		if got != want || isHAR != (last == io.EOF) {
			t.Errorf("%d entries, %v; want %d, a HAR: %v", got, last, want, isHAR)
		}
	})
}

// objects counts the objects in log.entries, by encoding/json.
func objects(text []byte) (n int, isHAR bool) {
	var doc, log map[string]json.RawMessage
	if json.Unmarshal(text, &doc) != nil || json.Unmarshal(doc["log"], &log) != nil {
		return 0, false
	}
	var entries []json.RawMessage
	if json.Unmarshal(log["entries"], &entries) != nil || entries == nil {
		return 0, false
	}
	for _, e := range entries {
		if e[0] == '{' {
			n++
		}
	}
	return n, true
}
