package capture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

func scan(r io.Reader, max int) *scanner { return &scanner{w: newWindow(r), max: max} }

// tree reads a value as encoding/json reads it into an any with UseNumber.
func (s *scanner) tree() any {
	switch s.kind() {
	case 0:
		return nil
	case '{':
		s.enter('{')
		m := map[string]any{}
		for name := s.member(); name != nil; name = s.member() {
			key := string(name)
			m[key] = s.tree()
		}
		return m
	case '[':
		s.enter('[')
		list := []any{}
		for s.element() {
			list = append(list, s.tree())
		}
		return list
	case '"':
		return string(s.str())
	}
	switch t := string(s.token()); t {
	case "true", "false":
		return t == "true"
	case "null", "":
		return nil
	default:
		return json.Number(t)
	}
}

// cuts are ways in which a text can arrive.
func cuts(text string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":        strings.NewReader(text),
		"byte by byte": iotest.OneByteReader(strings.NewReader(text)),
		"in halves":    iotest.HalfReader(strings.NewReader(text)),
	}
}

// FuzzScannerReadsWhatEncodingJSONReads: it accepts the same documents with the
// same meaning, however they arrive, and skipping finds the same errors at the
// same byte.
func FuzzScannerReadsWhatEncodingJSONReads(f *testing.F) {
	for _, s := range []string{
		`{"a": [1, -0.5e+10, true, false, null, {}, [], ""], "b\u0041": "\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00\ud83d \udc00"}`,
		"\t{ \"a\"\r\n: 1 , \"a\":2}", "[\"\xff\xc3\x28\xe2\x82\", \"\\ud83d\xff\"]", `["12345678\"", "1234567\\", "\u12"]`,
		`[01]`, `[-]`, `[1.]`, `[1e]`, `[.5]`, `[+1]`, `[1,]`, `{"a":1,}`, `{"a" 1}`, `{1:2}`, `[1 2]`, `["a`, `[tru]`, `[truex]`, "[\"\x01\"]", "[\x00]",
		`{"a":{"b":[[{"c":[{}]}]]}}x`, "[ \x0b1]", `{"":""}`, "[\"\\x\"]", "[\x7f]", strings.Repeat("[", 100), `{"a":"b"]`, `["a"}`, `[}`, `{]`, `[,1]`, `{,}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var want any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		fails := d.Decode(&want)
		if _, alone := want.(map[string]any); fails == nil && !alone {
			if _, alone = want.([]any); !alone {
				return // a HAR is an object; what else may stand alone ends with the file
			}
		}
		at, why := int64(-1), error(nil)
		for name, r := range cuts(text) {
			s := scan(r, 1<<20)
			got := s.tree()
			if (s.err == nil) != (fails == nil) {
				t.Fatalf("%s: %v, encoding/json: %v", name, s.err, fails)
			}
			if s.err == nil && !reflect.DeepEqual(got, want) {
				t.Fatalf("%s: read %#v, encoding/json %#v", name, got, want)
			}
			if at < 0 {
				at, why = s.at, s.err
			}
			if s.at != at || s.err != why {
				t.Fatalf("%s: %v at %d, else %v at %d", name, s.err, s.at, why, at)
			}
		}
		for name, r := range cuts(text) {
			s := scan(r, 1<<20)
			s.skip()
			if s.at != at || s.err != why {
				t.Fatalf("skipped %s: %v at %d, read: %v at %d", name, s.err, s.at, why, at)
			}
		}
	})
}

func TestScannerErrors(t *testing.T) {
	tests := []struct {
		text string
		at   int64
		err  error
	}{
		{`{"a":}`, 5, errSyntax},
		{`{"a":1 "b":2}`, 7, errSyntax},
		{`{"a":1,}`, 7, errSyntax},
		{`{"a"1}`, 4, errSyntax},
		{`{a:1}`, 1, errSyntax},
		{`{"a":trux}`, 8, errSyntax},
		{`{"a":01}`, 6, errSyntax},
		{`{"a":-}`, 6, errSyntax},
		{`{"a":1.5.5}`, 8, errSyntax},
		{`{"a":"\x"}`, 7, errSyntax},
		{`{"a":"\u00g0"}`, 10, errSyntax},
		{"{\"a\":\"\n\"}", 6, errSyntax},
		{"{\"a\":1\x00}", 6, errSyntax},
		{`{"a":[1}`, 7, errSyntax},
		{`{"a":"b`, 7, io.ErrUnexpectedEOF},
		{`{"a":"b\`, 8, io.ErrUnexpectedEOF},
		{`{"a":12`, 7, io.ErrUnexpectedEOF},
		{`{"a":nul`, 8, io.ErrUnexpectedEOF},
		{`{"a":` + strings.Repeat(" ", 70_000), 70_005, io.ErrUnexpectedEOF},
		{`{"a":` + strings.Repeat("[", maxDepth), 5 + maxDepth - 1, errDeep},
		{`{"a":` + strings.Repeat("1", maxNumber+1) + `}`, 5, errLongNumber},
	}
	for _, tt := range tests {
		for name, r := range cuts(tt.text) {
			skipped := scan(r, 100)
			skipped.skip()
			read := scan(cuts(tt.text)[name], 100)
			read.tree()
			for _, s := range []*scanner{read, skipped} {
				if s.err != tt.err || s.at != tt.at {
					t.Errorf("%s %.20s: %v at %d, want %v at %d", name, tt.text, s.err, s.at, tt.err, tt.at)
				}
			}
		}
	}
}

// Of a long string its first whole characters are held, and the rest is counted.
func TestScannerHolds(t *testing.T) {
	tests := []struct {
		in, want string
		lost     int64
	}{
		{`12345`, "12345", 0},
		{`123456`, "12345", 1},
		{`12345\n`, "12345", 2},
		{`123\n`, "123\n", 0},
		{`1234\n5`, "1234", 3},
		{`1234\\`, "1234", 2},
		{`123\\\"`, `123\`, 2},
		{`\"\"\"\"\"`, `""`, 6},
		{`123\u00e9x`, "123", 7},
		{`\u00e9\u00e9\\`, "", 14},
		{`1234é`, "1234", 2},
		{`12é4é`, "12é4", 2},
		{`12€`, "12€", 0},
		{`123€4`, "123", 4},
		{"1234\xe2\x82", "1234\ufffd", 1},
		{`😀😀`, "😀", 4},
		{strings.Repeat("x", 1<<20) + `\"`, "xxxxx", 1<<20 - 3},
	}
	for _, tt := range tests {
		text := `["` + tt.in + `", "next"]`
		for name, r := range cuts(text) {
			s := scan(r, 5)
			s.enter('[')
			s.element()
			got := string(s.str())
			if got != tt.want || s.lost != tt.lost || s.err != nil {
				t.Errorf("%s %.20s: held %q and lost %d (%v), want %q and %d", name, tt.in, got, s.lost, s.err, tt.want, tt.lost)
			}
			if !s.element() || string(s.str()) != "next" || s.lost != 0 || s.element() || s.err != nil {
				t.Errorf("%s %.20s: what follows is not read: %v", name, tt.in, s.err)
			}
		}
	}
	// The bound of a pair of escapes lies between them.
	s := scan(strings.NewReader(`"123\ud83d\ude00"`), 12)
	if s.kind(); string(s.str()) != "123" || s.lost != 12 {
		t.Errorf("half a surrogate pair is held, or %d bytes lost", s.lost)
	}
}

// A string that is skipped or too long costs no memory of its length.
func TestScannerMemory(t *testing.T) {
	long := func() io.Reader {
		parts := []io.Reader{strings.NewReader(`"`)}
		for range 64 {
			parts = append(parts, bytes.NewReader(bytes.Repeat([]byte(`x\"`), 1<<18)))
		}
		return io.MultiReader(append(parts, strings.NewReader(`"`))...)
	}
	skipped, held := scan(long(), 1<<20), scan(long(), 1<<20)
	skipped.skip()
	held.kind()
	if n := len(held.str()); n < 1<<19 || held.err != nil || skipped.err != nil {
		t.Errorf("held %d bytes, %v, %v", n, held.err, skipped.err)
	}
	if n := len(skipped.w.buf); n > largeBuffer {
		t.Errorf("skipping takes a buffer of %d bytes", n)
	}
	if n := len(held.w.buf) + cap(held.long); n > 8<<20 {
		t.Errorf("holding a MiB takes %d bytes", n)
	}
}

// What the window says is handed on.
func TestScannerReadError(t *testing.T) {
	broken := errors.New("the disk fell out")
	s := scan(io.MultiReader(strings.NewReader(`{"a": "b`), iotest.ErrReader(broken)), 100)
	if s.skip(); s.err != broken || s.at != 8 {
		t.Errorf("%v at %d", s.err, s.at)
	}
}

// TestWordsInOnePlace: words that share a place do not take each other's value.
func TestWordsInOnePlace(t *testing.T) {
	var k known
	for i := range 5000 {
		word := fmt.Sprint("x-word-", i)
		w := k.of([]byte(word))
		if w.word != word || w.value != "" {
			t.Fatalf("%s has the place of %s with %q", word, w.word, w.value)
		}
		w.value = word
	}
}
