package report

import (
	"strings"

	"mcp401/rules"
)

// A page is text that is wrapped to a width, with or without colours.
type page struct {
	buf   []byte
	width int
	color bool
}

// A span is text in one style.
type span struct{ text, style string }

// A line is what stands on one line of a terminal.
type line []span

// Styles (ECMA-48 SGR parameters); colour is never the only sign of anything.
const (
	sgrBold  = "1"
	sgrDim   = "2"
	sgrGreen = "32"
)

var colors = map[string]string{string(rules.Error): "31;1", string(rules.Warning): "33;1", string(rules.Note): "36;1"}

func plain(s string) span { return span{s, ""} }
func bold(s span) span    { return span{s.text, sgrBold} }

// text writes spans as one paragraph; its lines after the first are indented.
func (p *page) text(indent int, spans ...span) {
	for _, l := range wrap(p.width, indent, spans) {
		p.put(l)
	}
}

// headed writes a paragraph with a word at the right edge of its first line.
func (p *page) headed(indent int, spans []span, right span) {
	lines := wrap(p.width-width(right.text)-2, indent, spans)
	lines[0] = lines[0].right(p.width, right)
	for _, l := range lines {
		p.put(l)
	}
}

// tailed writes a paragraph with a word at the right edge of its last line, or
// below it where there is no room.
func (p *page) tailed(indent int, s, right span) {
	lines := wrap(p.width, indent, []span{s})
	last := len(lines) - 1
	if lines[last].width()+2+width(right.text) <= p.width {
		lines[last] = lines[last].right(p.width, right)
	} else if right.text != "" {
		lines = append(lines, wrap(p.width, indent, []span{plain(strings.Repeat(" ", indent)), right})...)
	}
	for _, l := range lines {
		p.put(l)
	}
}

// put writes one line.
func (p *page) put(l line) {
	for len(l) > 0 && strings.TrimRight(l[len(l)-1].text, " ") == "" {
		l = l[:len(l)-1]
	}
	for i, s := range l {
		if i == len(l)-1 {
			s.text = strings.TrimRight(s.text, " ")
		}
		if p.color && s.style != "" {
			s.text = "\x1b[" + s.style + "m" + s.text + "\x1b[0m"
		}
		p.buf = append(p.buf, s.text...)
	}
	p.buf = append(p.buf, '\n')
}

func (l line) width() int {
	n := 0
	for _, s := range l {
		n += width(s.text)
	}
	return n
}

// right appends s so that it ends at the column end.
func (l line) right(end int, s span) line {
	return append(l, plain(strings.Repeat(" ", max(end-l.width()-width(s.text), 1))), s)
}

// wrap breaks spans between words into lines of at most end columns. A word
// that is longer than a line is broken where the line ends.
func wrap(end, indent int, spans []span) []line {
	lines := []line{nil}
	at := 0
	next := func() {
		lines = append(lines, line{plain(strings.Repeat(" ", indent))})
		at = indent
	}
	add := func(text, style string) {
		at += width(text)
		last := &lines[len(lines)-1]
		if n := len(*last); n > 0 && (*last)[n-1].style == style {
			(*last)[n-1].text += text
			return
		}
		*last = append(*last, span{text, style})
	}
	for _, s := range spans {
		for _, word := range words(s.text) {
			if at+width(word) > end && at > indent && strings.TrimSpace(word) != "" {
				next()
				word = strings.TrimLeft(word, " ")
			}
			for at+width(word) > end && strings.TrimSpace(word) != "" {
				head := prefix(word, end-at)
				add(head, s.style)
				word = word[len(head):]
				next()
			}
			add(word, s.style)
		}
	}
	return lines
}
