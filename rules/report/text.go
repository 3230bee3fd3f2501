package report

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/olekukonko/tablewriter/pkg/twwidth"
)

// width is how many columns of a terminal s takes.
func width(s string) int {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return twwidth.Width(s)
		}
	}
	return len(s)
}

// pad fills s up with spaces to n columns, with two at least.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(n-width(s), min(n, 2)))
}

// prefix is the longest beginning of s that takes at most n columns, one
// character at least.
func prefix(s string, n int) string {
	at := 0
	for i, r := range s {
		w := width(string(r))
		if i > 0 && at+w > n {
			return s[:i]
		}
		at += w
	}
	return s
}

// words cuts s before each run of spaces that follows a word, so that the
// pieces put together are s again.
func words(s string) []string {
	var out []string
	start := 0
	for i := 1; i < len(s); i++ {
		if s[i] == ' ' && s[i-1] != ' ' {
			out = append(out, s[start:i])
			start = i
		}
	}
	return append(out, s[start:])
}

// clean makes text from a capture fit for a terminal: what does not print, or
// would steer the terminal, becomes "?".
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return '?'
		}
		return r
	}, s)
}

// visible makes text from a capture fit for where nothing steers but much can
// hide: what does not print (controls, marks of writing direction, spaces of no
// width) is named by its number.
func visible(s string) string {
	hidden := func(r rune) bool { return !unicode.IsPrint(r) && r != unicode.ReplacementChar }
	if strings.IndexFunc(s, hidden) < 0 {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	var b strings.Builder
	for _, r := range s {
		if hidden(r) {
			fmt.Fprintf(&b, "[U+%04X]", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// clip is s made visible, cut after n characters.
func clip(s string, n int) string {
	short := first(s, n)
	all := visible(short)
	v := first(all, n)
	if len(short) < len(s) || len(v) < len(all) {
		v += "…"
	}
	return v
}

// first is the first n characters of s.
func first(s string, n int) string {
	at := 0
	for i := range s {
		if at++; at > n {
			return s[:i]
		}
	}
	return s
}

// each is the list with f done to each item.
func each(list []string, f func(string) string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = f(s)
	}
	return out
}

// number writes n with a comma between thousands.
func number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// counted is a number and the word for what is counted.
func counted(n int, word string) string { return number(n) + " " + plural(n, word) }

func plural(n int, word string) string {
	switch {
	case n == 1:
		return word
	case strings.HasSuffix(word, "ry"):
		return word[:len(word)-1] + "ies"
	}
	return word + "s"
}
