package report

import (
	"encoding/csv"
	"strings"
	"testing"
)

// rows reads a csv report strictly.
func rows(t *testing.T, s string) []map[string]string {
	t.Helper()
	r := csv.NewReader(strings.NewReader(s))
	all, err := r.ReadAll() // every row has as many fields as the first
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]string
	for _, row := range all[1:] {
		m := map[string]string{}
		for i, name := range all[0] {
			m[name] = row[i]
		}
		list = append(list, m)
	}
	return list
}

// A row for every call, in the order of the calls, under a header row.
func TestCSVHasARowACall(t *testing.T) {
	for _, in := range inputs(t) {
		got := write(t, "csv", Options{}, in)
		if n := strings.Count(string(in), `{"case":`); len(rows(t, got)) != n {
			t.Errorf("%d rows for %d cases", len(rows(t, got)), n)
		}
		if !strings.HasPrefix(got, "frame,time,client,gateway,") {
			t.Errorf("no header row in %.60q", got)
		}
		if strings.Count(got, "\n") != strings.Count(got, "\r\n") {
			t.Error("a line does not end with CR LF")
		}
	}
}

// A row says what the case and its finding say.
func TestCSVRow(t *testing.T) {
	got := rows(t, write(t, "csv", Options{}, hostile(t)))[0]
	for column, want := range map[string]string{
		"frame": "220", "status": "200", "tools": "0", "answer_frame": "236", "verdict": "swallowed-401", "severity": "error",
		"time": "2026-11-23T08:04:11.301Z", "fingerprint": "00112233", "upstream_frames": "226", "rpc_id": `"7"`,
	} {
		if got[column] != want {
			t.Errorf("%s: %q, want %q", column, got[column], want)
		}
	}
}

// No cell is a formula to a spreadsheet, whatever a capture names.
func TestCSVHasNoFormula(t *testing.T) {
	for in, want := range map[string]string{
		"":                        "",
		"POST":                    "POST",
		`"7"`:                     `"7"`,
		"=1+1":                    "'=1+1",
		"+1":                      "'+1",
		"-1":                      "'-1",
		"@SUM(1)":                 "'@SUM(1)",
		" =1":                     "' =1",
		`"=1"`:                    `'"=1"`,
		"'=1":                     "''=1",
		"＝1":                      "'＝1",
		"\t=1":                    "[U+0009]=1",
		"\r=1":                    "[U+000D]=1",
		"\n=1":                    "[U+000A]=1",
		"a=b":                     "a=b",
		"a;b":                     "a;b",
		"a;=1;\"-2;;@x":           "a;'=1;'\"-2;;'@x",
		"\u202eevil":              "[U+202E]evil",
		"=HYPERLINK(\"x\",\"y\")": "'=HYPERLINK(\"x\",\"y\")",
	} {
		if got := inert(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for _, row := range rows(t, write(t, "csv", Options{}, hostile(t))) {
		for column, cell := range row {
			if cell != "" && strings.ContainsRune("=+-@\t\r\n", rune(cell[0])) {
				t.Errorf("%s is a formula: %q", column, cell)
			}
		}
	}
}
