package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"mcp401/rules"
)

// A document is a json report, or else one line of a jsonl report: whichever
// its first value turns out to be.
type document struct {
	Object
	Cases    []*Case    `json:"cases"`
	Findings []*Finding `json:"findings"`
	Notes    []*Note    `json:"notes"`
}

// Read reads a report that was written as json or jsonl and gives its objects
// to out, in the order in which they were written first. A json document is
// held in memory as a whole, jsonl is not.
func Read(r io.Reader, out func(Object) error) error {
	dec := json.NewDecoder(r)
	var first document
	if err := dec.Decode(&first); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("empty: no report in it")
		}
		return fmt.Errorf("not a report of mcp401: %w", err)
	}
	if first.Cases != nil {
		return first.objects(out)
	}
	return lines(dec, first.Object, out)
}

// objects gives the parts of a document back in the order of a stream: each
// case that is not ok has the next finding.
func (d *document) objects(out func(Object) error) error {
	if d.Run == nil || d.Summary == nil {
		return errors.New("not a report of mcp401: no run or no summary")
	}
	if err := known(d.Run); err != nil {
		return err
	}
	for i := range d.Run.Inputs {
		d.Run.Inputs[i].Records = 0 // the summary has them
	}
	all := []Object{{Run: d.Run}}
	for _, c := range d.Cases {
		all = append(all, Object{Case: c})
		if c.Severity == string(rules.OK) {
			continue
		}
		if len(d.Findings) == 0 {
			return fmt.Errorf("case of frame %d has no finding", c.Frame)
		}
		all = append(all, Object{Finding: d.Findings[0]})
		d.Findings = d.Findings[1:]
	}
	for _, n := range d.Notes {
		all = append(all, Object{Note: n})
	}
	for _, o := range append(all, Object{Summary: d.Summary}) {
		if err := out(o); err != nil {
			return err
		}
	}
	return nil
}

// lines passes on a jsonl stream whose first object is o.
func lines(dec *json.Decoder, o Object, out func(Object) error) error {
	for n := 1; ; n++ {
		if err := one(o); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
		if n == 1 && o.Run == nil {
			return errors.New("line 1: not a report of mcp401: no run")
		}
		if err := out(o); err != nil {
			return err
		}
		ended := o.Summary != nil
		o = Object{}
		switch err := dec.Decode(&o); {
		case errors.Is(err, io.EOF) && ended:
			return nil
		case errors.Is(err, io.EOF):
			return fmt.Errorf("line %d: the report ends before its summary", n)
		case err != nil:
			return fmt.Errorf("line %d: %w", n+1, err)
		case ended:
			return fmt.Errorf("line %d: more behind the summary", n+1)
		}
	}
}

// one reports whether exactly one field is set, and the schema is known.
func one(o Object) error {
	n := 0
	for _, set := range []bool{o.Run != nil, o.Case != nil, o.Finding != nil, o.Note != nil, o.Summary != nil} {
		if set {
			n++
		}
	}
	if n != 1 {
		return errors.New("not an object of a report")
	}
	if o.Run != nil {
		return known(o.Run)
	}
	return nil
}

func known(r *Run) error {
	if r.Schema != Schema {
		return fmt.Errorf("schema %q is not known, only %q", r.Schema, Schema)
	}
	return nil
}
