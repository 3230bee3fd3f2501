package capture

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json/jsontext"
)

func trimmed(r io.Reader, max int) (string, *trimmer, error) {
	t := &trimmer{w: newWindow(r), max: max}
	b, err := io.ReadAll(t)
	return string(b), t, err
}

func TestTrimmer(t *testing.T) {
	tests := []struct{ in, want string }{
		{`"12345"`, `"12345"`},
		{`"123456"`, `"12345"`},
		{`["1234567", "123", "abcdef"]`, `["12345", "123", "abcde"]`},
		{`{"1234567": 123456789}`, `{"12345": 123456789}`},
		{`"\"\"\"\"\""`, `"\"\"\""`},
		{`"1234\n5"`, `"1234\n"`},
		{`"12345\n"`, `"12345"`},
		{`"1234\\"`, `"1234\\"`},
		{`"12345\\","x"`, `"12345","x"`},
		{`"123\u00e9x"`, `"123\u00e9"`},
		{`"\u00e9\u00e9\\"`, `"\u00e9"`},
		{`"1234567\"", "\\"`, `"12345", "\\"`},
		{`"unfinished`, `"unfin`},
		{``, ``},
	}
	for _, tt := range tests {
		for name, r := range map[string]io.Reader{
			"whole":        strings.NewReader(tt.in),
			"byte by byte": iotest.OneByteReader(strings.NewReader(tt.in)),
		} {
			got, tr, err := trimmed(r, 5)
			if got != tt.want || err != nil {
				t.Errorf("%s %s: got %s, want %s, %v", name, tt.in, got, tt.want, err)
			}
			if lost := int64(len(tt.in) - len(tt.want)); tr.inside == false && tr.skipped != lost {
				t.Errorf("%s %s: lost %d, want %d", name, tt.in, tr.skipped, lost)
			}
		}
	}
}

// The loss of a string is asked for by where it ended.
func TestTrimmerLost(t *testing.T) {
	const in = `["123456789", "1234567", "12", "123456"]`
	got, tr, _ := trimmed(strings.NewReader(in), 5)
	end := func(s string) int64 { return int64(strings.Index(got, s) + len(s)) }
	if n := tr.lost(end(`["12345"`)); n != 4 {
		t.Errorf("first string: %d", n)
	}
	if n := tr.lost(end(`"12"`)); n != 0 {
		t.Errorf("third string: %d", n)
	}
	if n := tr.lost(int64(len(got) - 1)); n != 1 {
		t.Errorf("last string: %d", n)
	}
}

// FuzzTrimmerKeepsJSON: what comes out of valid JSON is valid, has no string
// over the bound by more than an escape, is the same however it arrives, and is
// what came in where nothing was over the bound.
func FuzzTrimmerKeepsJSON(f *testing.F) {
	f.Add(`{"log": [1, "\"\\\u00e9", "long long long", {"\ud83d\ude00": null}]}`, 5)
	f.Add(`["\\\\\\\\\"", "\"", "\\"]`, 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 0 || max > 1<<20 {
			return
		}
		got, tr, err := trimmed(strings.NewReader(s), max)
		pieces, _, _ := trimmed(iotest.OneByteReader(strings.NewReader(s)), max)
		if got != pieces {
			t.Errorf("whole %s, in pieces %s", got, pieces)
		}
		if len(s) <= max && got != s {
			t.Errorf("cut without need: %s to %s", s, got)
		}
		valid := func(s string) bool {
			return jsontext.Value(s).IsValid(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		}
		if !valid(s) {
			return
		}
		if !valid(got) || err != nil {
			t.Errorf("%s became %s, %v", s, got, err)
		}
		if tr.skipped != int64(len(s)-len(got)) {
			t.Errorf("lost %d, said %d", len(s)-len(got), tr.skipped)
		}
		d := jsontext.NewDecoder(bytes.NewReader([]byte(got)), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
		for {
			if d.PeekKind() == '"' {
				if v, err := d.ReadValue(); err == nil && len(v)-2 > max+5 {
					t.Errorf("a string of %d bytes", len(v)-2)
				}
			} else if _, err := d.ReadToken(); err != nil {
				return
			}
		}
	})
}
