package cli

import (
	"strings"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
)

// render lays a page out for a terminal. It knows the Markdown that the pages
// use: headings, paragraphs, lists, quotes, tables and fenced or indented
// code; the last two are printed as they are.
func render(page string, columns int, color bool) string {
	r := &layout{columns: columns, color: color}
	fenced := false
	for line := range strings.SplitSeq(strings.TrimRight(page, "\n"), "\n") {
		switch trimmed := strings.TrimSpace(line); {
		case strings.HasPrefix(trimmed, "```"):
			r.flush()
			fenced = !fenced
		case fenced:
			r.out("  " + line) // not more: pages are written for 80 columns and a little
		case trimmed == "":
			r.flush()
			r.blank()
		case strings.HasPrefix(line, "#"):
			r.flush()
			r.heading(strings.TrimSpace(strings.TrimLeft(line, "#")))
		case strings.HasPrefix(line, "|"), strings.HasPrefix(line, "    ") && len(r.words) == 0:
			r.flush()
			r.out(line)
		case bullet(trimmed) > 0:
			r.flush()
			r.item(line)
		default:
			r.words = append(r.words, strings.Fields(line)...)
		}
	}
	r.flush()
	return r.b.String()
}

// bullet is the length of a list item's mark, 0 where there is none.
func bullet(line string) int {
	if strings.HasPrefix(line, "- ") || strings.HasPrefix(line, "* ") || strings.HasPrefix(line, "> ") {
		return 2
	}
	digits := len(line) - len(strings.TrimLeft(line, "0123456789"))
	if digits > 0 && strings.HasPrefix(line[digits:], ". ") {
		return digits + 2
	}
	return 0
}

// A layout is a page being laid out: the paragraph that is being gathered, and
// how it is indented.
type layout struct {
	b       strings.Builder
	columns int
	color   bool
	words   []string
	first   string // before the first line of the paragraph
	rest    string // before the others
	empty   bool   // the last line was empty
}

func (l *layout) out(line string) {
	l.b.WriteString(strings.TrimRight(line, " "))
	l.b.WriteByte('\n')
	l.empty = false
}

func (l *layout) blank() {
	if !l.empty && l.b.Len() > 0 {
		l.b.WriteByte('\n')
		l.empty = true
	}
}

func (l *layout) heading(text string) {
	if l.color {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	l.out(text)
}

func (l *layout) item(line string) {
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	trimmed := strings.TrimSpace(line)
	n := bullet(trimmed)
	l.first = indent + trimmed[:n]
	l.rest = indent + strings.Repeat(" ", n)
	l.words = strings.Fields(trimmed[n:])
}

// flush writes the paragraph.
func (l *layout) flush() {
	if len(l.words) == 0 {
		return
	}
	line := l.first
	for i, word := range l.words {
		word = strings.ReplaceAll(word, "**", "")
		if i > 0 && twwidth.Width(line)+1+twwidth.Width(word) > l.columns {
			l.out(line)
			line = l.rest + word
			continue
		}
		if i > 0 {
			line += " "
		}
		line += word
	}
	l.out(line)
	l.words, l.first, l.rest = nil, "", ""
}
