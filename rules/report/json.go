package report

import (
	"bytes"
	"cmp"
	"compress/flate"
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
	err      error // of w: nothing more is written to it
	cases    int
	findings held
	notes    held
	run      *Run
	summary  *Summary
}

func newJSON(w io.Writer, _ Options) Writer { return &jsonWriter{w: w} }

func (j *jsonWriter) Write(o Object) error {
	switch {
	case o.Case != nil:
		if j.cases == 0 {
			j.put("{\"cases\": [\n")
		} else {
			j.put(",\n")
		}
		j.cases++
		j.value(o.Case)
	case o.Finding != nil:
		j.hold(&j.findings, o.Finding)
	case o.Note != nil:
		j.hold(&j.notes, o.Note)
	case o.Run != nil:
		run := *o.Run
		j.run = &run
	case o.Summary != nil:
		j.summary = o.Summary
	}
	return j.err
}

func (j *jsonWriter) Close() error {
	if j.run != nil && j.summary != nil && len(j.summary.Inputs) > 0 {
		j.run.Inputs = j.summary.Inputs
	}
	if j.cases == 0 {
		j.put("{\"cases\": [")
	}
	j.put("\n],\n\"findings\": [")
	j.held(&j.findings)
	j.put("\n],\n\"notes\": [")
	j.held(&j.notes)
	j.put("\n],\n\"run\": ")
	j.value(j.run)
	j.put(",\n\"summary\": ")
	j.value(j.summary)
	j.put("\n}\n")
	return j.err
}

func (j *jsonWriter) put(s string) {
	if j.err == nil {
		_, j.err = io.WriteString(j.w, s)
	}
}

func (j *jsonWriter) value(v any) {
	b, err := j.line.encode(v)
	if j.err = cmp.Or(j.err, err); j.err == nil {
		_, j.err = j.w.Write(b)
	}
}

func (j *jsonWriter) hold(h *held, v any) {
	b, err := j.line.encode(v)
	if j.err = cmp.Or(j.err, err); err == nil {
		h.add(b)
	}
}

func (j *jsonWriter) held(h *held) {
	if j.err == nil && h.n > 0 {
		j.err = h.copy(j.w)
	}
}

// A held is encoded values that wait for their place in the document. Findings
// of one kind differ in a few numbers, so that they are held at a twentieth of
// their size: a long capture has many.
type held struct {
	n   int
	buf bytes.Buffer
	zip *flate.Writer
}

func (h *held) add(b []byte) {
	before := ",\n"
	if h.n == 0 {
		h.zip, _ = flate.NewWriter(&h.buf, flate.BestSpeed)
		before = "\n"
	}
	h.n++
	io.WriteString(h.zip, before) // to memory: it cannot fail
	h.zip.Write(b)
}

func (h *held) copy(w io.Writer) error {
	h.zip.Close()
	_, err := io.Copy(w, flate.NewReader(&h.buf))
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
