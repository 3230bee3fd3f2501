package decodetest

import (
	"bytes"
	"strings"
)

// A part is one file of a txtar archive.
type part struct{ name, data string }

// parts reads a txtar archive: a comment, then files, each led by a line
// "-- name --".
func parts(b []byte) (comment string, files []part) {
	text := &comment
	for line := range bytes.Lines(b) {
		s := strings.TrimRight(string(line), "\r\n")
		if name, ok := strings.CutPrefix(s, "-- "); ok && strings.HasSuffix(name, " --") {
			files = append(files, part{name: strings.TrimSuffix(name, " --")})
			text = &files[len(files)-1].data
			continue
		}
		*text += string(line)
	}
	return comment, files
}

func format(comment string, files []part) string {
	var b strings.Builder
	b.WriteString(comment)
	for _, f := range files {
		b.WriteString("-- " + f.name + " --\n" + f.data)
	}
	return b.String()
}
