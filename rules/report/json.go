package report

import (
	"bytes"
	"encoding/json"
	"io"
)

// A jsonWriter writes one document. Its keys stand in the order of the
// alphabet, which is also the order in which they are known: cases are written
// as they come, and only findings and notes are held, encoded, until the cases
// are over.
type jsonWriter struct {
	w        io.Writer
	line     encoder
	cases    int
	findings []byte
	notes    []byte
	run      *Run
	summary  *Summary
}

func newJSON(w io.Writer, _ Options) Writer { return &jsonWriter{w: w} }

func (j *jsonWriter) Write(o Object) error {
	switch {
	case o.Case != nil:
		return j.open(o.Case)
	case o.Finding != nil:
		return j.hold(&j.findings, o.Finding)
	case o.Note != nil:
		return j.hold(&j.notes, o.Note)
	case o.Run != nil:
		run := *o.Run
		j.run = &run
	case o.Summary != nil:
		summary := *o.Summary
		j.summary = &summary
	}
	return nil
}

func (j *jsonWriter) open(c *Case) error {
	before := ",\n"
	if j.cases == 0 {
		before = "{\"cases\": [\n"
	}
	j.cases++
	b, err := j.line.encode(c)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(j.w, before); err != nil {
		return err
	}
	_, err = j.w.Write(b)
	return err
}

func (j *jsonWriter) hold(to *[]byte, v any) error {
	b, err := j.line.encode(v)
	if err != nil {
		return err
	}
	if len(*to) > 0 {
		*to = append(*to, ",\n"...)
	}
	*to = append(*to, b...)
	return nil
}

func (j *jsonWriter) Close() error {
	if j.run != nil && j.summary != nil && len(j.summary.Inputs) > 0 {
		j.run.Inputs = j.summary.Inputs
	}
	var b bytes.Buffer
	if j.cases == 0 {
		b.WriteString("{\"cases\": [")
	}
	array := func(key string, held []byte) {
		b.WriteString("\n],\n\"" + key + "\": [")
		if len(held) > 0 {
			b.WriteByte('\n')
			b.Write(held)
		}
	}
	array("findings", j.findings)
	array("notes", j.notes)
	b.WriteString("\n],\n\"run\": ")
	run, err := j.line.encode(j.run)
	if err != nil {
		return err
	}
	b.Write(run)
	b.WriteString(",\n\"summary\": ")
	summary, err := j.line.encode(j.summary)
	if err != nil {
		return err
	}
	b.Write(summary)
	b.WriteString("\n}\n")
	_, err = j.w.Write(b.Bytes())
	return err
}

// An encoder encodes values without a line end and without the HTML escapes
// that make "->" unreadable.
type encoder struct {
	buf bytes.Buffer
	enc *json.Encoder
}

// encode returns v as JSON, valid until the next call.
func (e *encoder) encode(v any) ([]byte, error) {
	if e.enc == nil {
		e.enc = json.NewEncoder(&e.buf)
		e.enc.SetEscapeHTML(false)
	}
	e.buf.Reset()
	if err := e.enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(e.buf.Bytes(), []byte("\n")), nil
}
