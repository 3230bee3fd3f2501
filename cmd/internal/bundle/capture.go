package bundle

import (
	"mcp401/capture"
	"mcp401/decode"
	"mcp401/rules/report"
)

// A keyed source gives key logs before the first record of a capture.
type keyed struct {
	capture.Source
	keys [][]byte
}

// Keyed returns a source that gives TLS key logs before the records of src,
// which is returned itself when there are none.
func Keyed(src capture.Source, keys [][]byte) capture.Source {
	if len(keys) == 0 {
		return src
	}
	return &keyed{src, keys}
}

func (k *keyed) Next() (capture.Record, error) {
	if len(k.keys) == 0 {
		return k.Source.Next()
	}
	lines := k.keys[0]
	k.keys = k.keys[1:]
	return capture.Record{Secret: &capture.Secret{Lines: lines}}, nil
}

// Inputs describes what was opened, as a report does.
func Inputs(src *capture.Files) []report.Input {
	var list []report.Input
	for _, in := range src.Inputs() {
		list = append(list, report.Input{Name: in.Name, Kind: in.Kind, Records: in.Records})
	}
	return list
}

// Warnings is what the files had to complain of, as the notes of a report.
func Warnings(src *capture.Files) []decode.Note {
	var list []decode.Note
	for _, w := range src.Warnings() {
		list = append(list, decode.Note{Code: w.Code, At: decode.Mark{Frame: w.Frame}, N: w.N, Text: w.Text})
	}
	return list
}
