package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
	"time"
)

// A csvWriter writes a row a call (RFC 4180), as they come: a row waits for
// the finding that may follow its case.
type csvWriter struct {
	csv  *csv.Writer
	last *Case // not written yet
	row  []string
}

func newCSV(w io.Writer, _ Options) Writer {
	c := csv.NewWriter(w)
	c.UseCRLF = true // RFC 4180, section 2, rule 1
	return &csvWriter{csv: c}
}

// columns is the header row. Readers go by these names; a new one goes to the
// end.
var columns = []string{
	"frame", "time", "client", "gateway", "kind", "http_method", "path", "rpc_method", "rpc_id", "status", "tools",
	"answer_frame", "answer_time", "verdict", "severity", "confidence", "cause", "failure", "servers", "at_fault",
	"upstream_frames", "upstream_outcomes", "text", "fix", "fingerprint",
}

func (c *csvWriter) Write(o Object) error {
	switch {
	case o.Run != nil:
		return c.put(columns)
	case o.Case != nil:
		err := c.flush(nil)
		c.last = o.Case
		return err
	case o.Finding != nil:
		return c.flush(o.Finding)
	}
	return nil
}

// flush writes the case that waits, with its finding if it has one.
func (c *csvWriter) flush(f *Finding) error {
	v := c.last
	if v == nil {
		return nil
	}
	c.last = nil
	if f == nil {
		f = &Finding{}
	}
	var frames, outcomes []string
	for _, a := range v.Upstream {
		frames = append(frames, strconv.Itoa(a.Frame))
		outcomes = append(outcomes, a.Server+"="+a.Outcome)
	}
	c.row = append(c.row[:0],
		strconv.Itoa(v.Frame), clock(v.Time), v.Client, v.Gateway, v.Kind, v.HTTPMethod, v.Path, deref(v.RPCMethod), deref(v.RPCID),
		digits(v.Status), digits(v.Tools), digits(v.AnswerFrame), clock(v.AnswerTime), v.Verdict, v.Severity, v.Confidence, v.Cause,
		v.Failure, strings.Join(v.Servers, " "), strings.Join(f.Servers, " "), strings.Join(frames, " "), strings.Join(outcomes, " "),
		f.Text, f.Fix, f.Fingerprint)
	return c.put(c.row)
}

func (c *csvWriter) put(row []string) error {
	cells := make([]string, len(row))
	for i, cell := range row {
		cells[i] = inert(cell)
	}
	c.csv.Write(cells) // what fails stays with the writer
	c.csv.Flush()
	return c.csv.Error()
}

func clock(t Time) string {
	if t.IsZero() || t.Year() > 9999 || t.Year() < 1 {
		return ""
	}
	return t.Format(time.RFC3339Nano)
}

func (c *csvWriter) Close() error {
	return c.flush(nil)
}

// inert keeps a spreadsheet from taking a cell for a formula: the cells that
// OWASP names as such get an apostrophe in front, which spreadsheets take for
// "this is text". Control characters have no meaning in a cell and can hide
// what stands there. Where lists are separated by semicolons a spreadsheet ends
// a cell at one, whatever quotes it, so that what follows is a cell too.
func inert(cell string) string {
	cell = visible(cell)
	parts := strings.Split(cell, ";")
	for i, part := range parts {
		// Some readers trim what comes first, and then see the formula.
		trimmed := strings.TrimLeft(part, " \"'")
		if trimmed != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(trimmed)[0]) {
			parts[i] = "'" + part
		}
	}
	return strings.Join(parts, ";")
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// digits is the number, or "" for none.
func digits(n *int) string {
	if n == nil {
		return ""
	}
	return strconv.Itoa(*n)
}
