package report

import (
	"io"
	"time"

	"mcp401/rules"
)

// Formats is every format of a report. To add one, write a file that has a
// Writer and put it here.
//
// A format may write to w, the one place in this folder where bytes leave: it
// is handed the writer and opens, closes and flushes nothing else.
var Formats = []Format{
	{"table", "for a terminal: the answer, then the evidence", newTable},
	{"json", "one document", newJSON},
	{"jsonl", "one object per line, as they are decided", newJSONL},
	{"html", "one page for people, without script or network", newHTML},
	{"markdown", "for an issue on GitHub", newMarkdown},
	{"sarif", "SARIF 2.1.0, for code scanning", newSARIF},
	{"junit", "JUnit XML: a test for each upstream and route", newJUnit},
	{"csv", "a row a call, for a spreadsheet", newCSV},
}

// A Format is one way to write a report.
type Format struct {
	Name  string
	Title string // one line, no period
	New   func(w io.Writer, opt Options) Writer
}

// Lookup returns the format with that name, and whether there is one.
func Lookup(name string) (Format, bool) {
	for _, f := range Formats {
		if f.Name == name {
			return f, true
		}
	}
	return Format{}, false
}

// Options is what a format may want to know beside the objects. Its zero value
// works.
type Options struct {
	Width int            // columns of a terminal; 0: 100. Formats for people use 40 to 100
	Color bool           // the terminal shows colours
	Zone  *time.Location // of times in formats for people; nil: UTC
	Rules []rules.Rule   // titles and the order of verdicts; nil: verdicts stand for themselves
}
