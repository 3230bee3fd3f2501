package report

import "io"

// A jsonlWriter writes each object as a line, when it comes.
type jsonlWriter struct {
	w    io.Writer
	line encoder
}

func newJSONL(w io.Writer, _ Options) Writer { return &jsonlWriter{w: w} }

func (j *jsonlWriter) Write(o Object) error {
	b, err := j.line.encode(o)
	if err != nil {
		return err
	}
	_, err = j.w.Write(append(b, '\n'))
	return err
}

func (j *jsonlWriter) Close() error { return nil }
