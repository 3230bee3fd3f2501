package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/rules"
)

var update = flag.Bool("update", false, "write what the formats print into testdata")

// titles stands in for the list of rules, which this package does not know.
var titles = []rules.Rule{
	{ID: "unanswered", Title: "The call has no answer in the capture"},
	{ID: "swallowed-401", Title: "The client got 200 with an empty list, and an upstream had said 401"},
	{ID: "partial-list", Title: "Tools came, and an upstream's tools are missing"},
	{ID: "no-upstream", Title: "The list is empty, and the gateway asked nobody"},
	{ID: "listed", Title: "Tools came"},
}

// views is every file that a folder of testdata may hold beside in.jsonl.
var views = map[string]struct {
	format string
	opt    Options
}{
	"table.txt":       {"table", Options{Rules: titles}},
	"table.80.txt":    {"table", Options{Rules: titles, Width: 80}},
	"table.color.txt": {"table", Options{Rules: titles, Width: 80, Color: true}},
	"report.json":     {"json", Options{}},
}

// Each folder is one report and how it looks in some formats.
func TestFormats(t *testing.T) {
	files, _ := filepath.Glob("testdata/*/*")
	for _, file := range files {
		name := filepath.Base(file)
		if name == "in.jsonl" {
			continue
		}
		t.Run(filepath.Base(filepath.Dir(file))+"/"+name, func(t *testing.T) {
			view, ok := views[name]
			if !ok {
				t.Fatal("no view has this name")
			}
			got := plainColors(write(t, view.format, view.opt, read(t, filepath.Join(filepath.Dir(file), "in.jsonl"))))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(read(t, file)), got); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// plainColors makes escape sequences readable in a text file.
func plainColors(s string) string { return strings.ReplaceAll(s, "\x1b", "ESC") }

// write writes the report in one format.
func write(t *testing.T, format string, opt Options, in []byte) string {
	t.Helper()
	f, ok := Lookup(format)
	if !ok {
		t.Fatalf("no format is called %s", format)
	}
	var out bytes.Buffer
	w := f.New(&out, opt)
	if err := Read(bytes.NewReader(in), w.Write); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// No line of a table is wider than asked for, or than 100 columns, whatever
// the names in the capture.
func TestTableKeepsItsWidth(t *testing.T) {
	for _, in := range inputs(t) {
		for _, columns := range []int{0, 40, 57, 80, 100, 300} {
			want := columns
			if columns == 0 || columns > 100 {
				want = 100
			}
			for line := range strings.Lines(write(t, "table", Options{Width: columns, Rules: titles}, in)) {
				if n := width(strings.TrimRight(line, "\n")); n > want {
					t.Errorf("%d columns asked for, %d in %q", columns, n, line)
				}
				if strings.HasSuffix(line, " \n") {
					t.Errorf("space at the end of %q", line)
				}
			}
		}
	}
}

// Without colour the table says the same, letter for letter.
func TestColourAddsNothing(t *testing.T) {
	for _, in := range inputs(t) {
		colored := write(t, "table", Options{Width: 80, Color: true, Rules: titles}, in)
		for _, style := range []string{"0", "1", "2", "32", "31;1", "33;1", "36;1"} {
			colored = strings.ReplaceAll(colored, "\x1b["+style+"m", "")
		}
		if d := cmp.Diff(write(t, "table", Options{Width: 80, Rules: titles}, in), colored); d != "" {
			t.Error(d)
		}
	}
}

// A view of saved JSON equals the view of the objects themselves: every format
// by way of every format that can be read.
func TestReadGivesBackWhatWasWritten(t *testing.T) {
	for _, in := range inputs(t) {
		for _, by := range []string{"json", "jsonl"} {
			saved := write(t, by, Options{}, in)
			for _, f := range Formats {
				want := write(t, f.Name, Options{}, in)
				if d := cmp.Diff(want, write(t, f.Name, Options{}, []byte(saved))); d != "" {
					t.Errorf("%s by way of %s (-want +got):\n%s", f.Name, by, d)
				}
			}
		}
	}
}

// The jsonl of a report is the report.
func TestJSONLIsTheObjects(t *testing.T) {
	for _, in := range inputs(t) {
		if d := cmp.Diff(string(in), write(t, "jsonl", Options{}, in)); d != "" {
			t.Error(d)
		}
	}
}

// Lists are never null in a document, and it has the five keys.
func TestJSONShape(t *testing.T) {
	for _, in := range inputs(t) {
		var doc map[string]json.RawMessage
		if err := json.Unmarshal([]byte(write(t, "json", Options{}, in)), &doc); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"run", "cases", "findings", "notes", "summary"} {
			if v := string(doc[key]); v == "" || v == "null" {
				t.Errorf("%s is %q", key, v)
			}
		}
		if len(doc) != 5 {
			t.Errorf("%d keys", len(doc))
		}
	}
}

// inputs is every report in testdata.
func inputs(t *testing.T) [][]byte {
	t.Helper()
	files, _ := filepath.Glob("testdata/*/in.jsonl")
	if len(files) == 0 {
		t.Fatal("no testdata")
	}
	var list [][]byte
	for _, file := range files {
		list = append(list, read(t, file))
	}
	return list
}

func TestReadRefuses(t *testing.T) {
	const run = `{"run":{"schema":"1","tool":"mcp401","version":"0.1.0","inputs":[]}}` + "\n"
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "empty: no report in it"},
		{"text", "hello", "not a report of mcp401: invalid character 'h' looking for beginning of value"},
		{"another JSON", `{"log":{"entries":[]}}`, "line 1: not an object of a report"},
		{"a list", `[]`, "not a report of mcp401: json: cannot unmarshal array into Go value of type report.document"},
		{"no run", `{"note":{"code":"x"}}`, "line 1: not a report of mcp401: no run"},
		{"two objects in a line", run + `{"note":{},"summary":{}}`, "line 2: not an object of a report"},
		{"cut", run + `{"note":{"code":"x"}}`, "line 2: the report ends before its summary"},
		{"cut within a line", run + `{"note":{"co`, "line 2: unexpected EOF"},
		{"more behind the summary", run + `{"summary":{}}` + "\n" + `{"note":{}}`, "line 3: more behind the summary"},
		{"a schema of tomorrow", `{"run":{"schema":"2"}}`, `line 1: schema "2" is not known, only "1"`},
		{"a document of tomorrow", `{"cases":[],"run":{"schema":"2"},"summary":{}}`, `schema "2" is not known, only "1"`},
		{"a document without run", `{"cases":[]}`, "not a report of mcp401: no run or no summary"},
		{"a finding lost", `{"cases":[{"frame":7,"severity":"error"}],"findings":[],"run":{"schema":"1"},"summary":{}}`, "case of frame 7 has no finding"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Read(strings.NewReader(c.in), func(Object) error { return nil })
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// What out returns ends the reading.
func TestReadPassesErrorsOn(t *testing.T) {
	full := errors.New("disk full")
	for _, in := range inputs(t) {
		for _, saved := range []string{string(in), write(t, "json", Options{}, in)} {
			if err := Read(strings.NewReader(saved), func(Object) error { return full }); err != full {
				t.Errorf("got %v", err)
			}
		}
	}
}

// A writer that fails makes every format fail, at whatever byte.
func TestFormatsPassErrorsOn(t *testing.T) {
	in := inputs(t)[0]
	for _, f := range append(Formats, Lists...) {
		for _, room := range []int{0, 1, 20} {
			w := f.New(&narrow{room}, Options{})
			err := Read(bytes.NewReader(in), w.Write)
			if err == nil {
				err = w.Close()
			}
			if err != io.ErrShortWrite {
				t.Errorf("%s with room for %d bytes: %v", f.Name, room, err)
			}
		}
	}
}

type narrow struct{ room int }

func (n *narrow) Write(p []byte) (int, error) {
	if len(p) > n.room {
		return n.room, io.ErrShortWrite
	}
	n.room -= len(p)
	return len(p), nil
}

func TestTime(t *testing.T) {
	at := func(s string) Time {
		v, err := time.Parse(time.RFC3339Nano, s)
		if err != nil {
			t.Fatal(err)
		}
		return Time{v}
	}
	for _, c := range []struct {
		in   Time
		want string
	}{
		{at("2026-11-23T08:04:11.301Z"), `"2026-11-23T08:04:11.301Z"`},
		{at("2026-11-23T08:04:11.300000001Z"), `"2026-11-23T08:04:11.300000001Z"`},
		{at("2026-11-23T08:04:11Z"), `"2026-11-23T08:04:11Z"`},
		{at("2026-11-23T08:04:11+05:30"), `"2026-11-23T08:04:11+05:30"`},
		{Time{}, "null"},
		{Time{time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)}, "null"},
		{Time{time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}, "null"},
	} {
		b, err := json.Marshal(c.in)
		if err != nil || string(b) != c.want {
			t.Errorf("%v: %s, %v, want %s", c.in, b, err, c.want)
		}
		var back Time
		if err := json.Unmarshal(b, &back); err != nil || c.want != "null" && !back.Equal(c.in.Time) {
			t.Errorf("%s: read as %v, %v", b, back, err)
		}
	}
}

// Every time of an object changes its zone, and no moment.
func TestZone(t *testing.T) {
	east := time.FixedZone("", 2*60*60)
	in := `{"case":{"time":"2026-11-23T08:00:00Z","answer_time":"2026-11-23T08:00:01Z","upstream":[{"time":"2026-11-23T08:00:02Z"}]}}
{"finding":{"evidence":[{"time":"2026-11-23T08:00:03Z"}]}}
{"exchange":{"time":"2026-11-23T08:00:04Z","answer_time":null}}
{"message":{"time":"2026-11-23T08:00:05Z"}}
{"summary":{}}`
	got := ""
	for dec := json.NewDecoder(strings.NewReader(in)); ; {
		var o Object
		if dec.Decode(&o) != nil {
			break
		}
		o.In(east)
		b, _ := json.Marshal(o)
		got += string(b)
	}
	if n := strings.Count(got, "T10:00:0"); n != 6 || strings.Count(got, "+02:00") != 6 {
		t.Errorf("%d of 6 times in the zone: %s", n, got)
	}
}
