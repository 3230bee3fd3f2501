package decodetest

import (
	"fmt"
	"strconv"
	"strings"

	"mcp401/decode"
)

// A Log takes down what a decoder tells, as lines of text.
type Log struct {
	lines []line
	last  [2]int // place of the last line of each direction, from 1
}

type line struct {
	dir   decode.Dir
	note  bool
	text  string
	piece bool
	data  []byte
}

// Event adds a line to a direction.
func (l *Log) Event(d decode.Dir, format string, args ...any) {
	l.lines = append(l.lines, line{dir: d, text: fmt.Sprintf(format, args...)})
	l.last[d] = len(l.lines)
}

// Piece adds data that may come in any number of pieces: those of one key that
// follow each other in a direction are one line. p is copied.
func (l *Log) Piece(d decode.Dir, key string, p []byte) {
	if i := l.last[d] - 1; i >= 0 && l.lines[i].piece && l.lines[i].text == key {
		l.lines[i].data = append(l.lines[i].data, p...)
		return
	}
	l.lines = append(l.lines, line{dir: d, text: key, piece: true, data: append([]byte(nil), p...)})
	l.last[d] = len(l.lines)
}

// Note adds a note. Notes belong to no direction.
func (l *Log) Note(n decode.Note) {
	text := n.Code
	if n.N != 0 {
		text += " " + strconv.Itoa(n.N)
	}
	l.lines = append(l.lines, line{note: true, text: text})
}

// Lines returns what was taken down, each line led by ">", "<" or "#".
func (l *Log) Lines() []string {
	var all []string
	for _, x := range l.lines {
		all = append(all, x.String())
	}
	return all
}

func (l *Log) String() string {
	return strings.Join(append(l.Lines(), ""), "\n")
}

func (x line) String() string {
	switch {
	case x.note:
		return "# " + x.text
	case x.piece && len(x.data) > 200:
		return fmt.Sprintf("%s %s %d bytes %.40q...", x.arrow(), x.text, len(x.data), x.data)
	case x.piece:
		return fmt.Sprintf("%s %s %q", x.arrow(), x.text, x.data)
	}
	return x.arrow() + " " + x.text
}

func (x line) arrow() string {
	if x.dir == decode.ToClient {
		return "<"
	}
	return ">"
}

// of returns the lines of one direction.
func (l *Log) of(d decode.Dir) []line {
	var some []line
	for _, x := range l.lines {
		if !x.note && x.dir == d {
			some = append(some, x)
		}
	}
	return some
}
