package decodetest

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"mcp401/decode"
)

// A Script is one conversation and what must come of it.
type Script struct {
	File    string
	Flow    decode.Flow
	Options map[string]string // of the "options" file; "mid" is already in Flow
	Steps   []Step
	Want    string

	comment string
	parts   []part
}

// A Step is what one frame brought.
type Step struct {
	Kind Kind
	Dir  decode.Dir
	At   decode.Mark
	Data []byte
	N    int        // Gap: bytes, negative when nobody knows
	Why  decode.End // End
}

// A Kind says which of the three verbs a Step is.
type Kind uint8

// The kinds of steps.
const (
	Data Kind = iota
	Gap
	End
)

// Epoch is the time of the first frame of each script.
var Epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// Load reads a script from a txtar file.
func Load(file string) (*Script, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, b)
}

// Parse reads a script. See the package comment for its form.
func Parse(file string, b []byte) (*Script, error) {
	s := &Script{
		File:    file,
		Flow:    decode.Flow{First: 1, Start: Epoch, Client: netip.MustParseAddrPort("10.0.0.1:40000"), Server: netip.MustParseAddrPort("10.0.0.2:80")},
		Options: map[string]string{},
	}
	s.comment, s.parts = parts(b)
	for _, f := range s.parts {
		switch f.name {
		case "wire":
			if err := s.wire(f.data); err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
		case "want":
			s.Want = f.data
		case "options":
			for line := range strings.Lines(f.data) {
				k, v, _ := strings.Cut(strings.TrimSpace(line), " ")
				s.Options[k] = v
			}
		default:
			return nil, fmt.Errorf("%s: no such part: %s", file, f.name)
		}
	}
	_, s.Flow.Mid = s.Options["mid"]
	return s, nil
}

// Int returns an option as a number, 0 when it is absent.
func (s *Script) Int(option string) int {
	n, err := strconv.Atoi(s.Options[option])
	if err != nil && s.Options[option] != "" {
		panic("decodetest: option " + option + " is not a number")
	}
	return n
}

// wire reads the lines of a conversation. Lines of one direction that follow
// each other are one frame.
func (s *Script) wire(text string) error {
	at := decode.Mark{Frame: 0, Time: Epoch}
	dir := decode.ToServer
	joined := false
	num := 0
	for line := range strings.Lines(text) {
		num++
		line = strings.TrimRight(line, "\n")
		if line == "" {
			joined = false
			continue
		}
		var err error
		switch line[0] {
		case '#':
		case '>', '<':
			d := arrow(line[0])
			if !joined || d != dir {
				at = next(at)
				s.Steps = append(s.Steps, Step{Dir: d, At: at})
				dir, joined = d, true
			}
			last := &s.Steps[len(s.Steps)-1]
			last.Data, err = bytesOf(last.Data, line[1:])
		case '~':
			var wait time.Duration
			wait, err = time.ParseDuration(strings.TrimSpace(line[1:]))
			at.Time = at.Time.Add(wait)
			joined = false
		case '!':
			at = next(at)
			var st Step
			st, err = gapOf(line[1:], dir)
			st.At, dir, joined = at, st.Dir, false
			s.Steps = append(s.Steps, st)
		case '.':
			at = next(at)
			var st []Step
			st, err = endOf(line[1:], dir)
			for _, st := range st {
				st.At = at
				s.Steps = append(s.Steps, st)
			}
			joined = false
		default:
			err = fmt.Errorf("no such arrow: %q", line[0])
		}
		if err != nil {
			return fmt.Errorf("wire line %d: %w", num, err)
		}
	}
	return nil
}

// next is the mark of the next frame, a millisecond later.
func next(at decode.Mark) decode.Mark {
	return decode.Mark{Frame: at.Frame + 1, Time: at.Time.Add(time.Millisecond)}
}

func arrow(c byte) decode.Dir {
	if c == '<' {
		return decode.ToClient
	}
	return decode.ToServer
}

// bytesOf appends what one line says: hexadecimal after "x", n times a text
// after "*n", else text with a CRLF that a backslash at the end takes away.
func bytesOf(b []byte, text string) ([]byte, error) {
	switch {
	case strings.HasPrefix(text, "x"):
		more, err := hex.DecodeString(strings.ReplaceAll(text[1:], " ", ""))
		return append(b, more...), err
	case strings.HasPrefix(text, "*"):
		count, rest, _ := strings.Cut(text[1:], " ")
		n, err := strconv.Atoi(count)
		if err != nil {
			return b, err
		}
		one, err := bytesOf(nil, " "+rest)
		return append(b, strings.Repeat(string(one), n)...), err
	}
	text = strings.TrimPrefix(text, " ")
	end := "\r\n"
	if n := len(text); n > 0 && text[n-1] == '\\' && !strings.HasSuffix(text, `\\`) {
		text, end = text[:n-1], ""
	}
	s, err := strconv.Unquote(`"` + strings.ReplaceAll(text, `"`, `\"`) + `"`)
	return append(b, s+end...), err
}

func gapOf(text string, dir decode.Dir) (Step, error) {
	dir, words := direction(text, dir)
	if len(words) != 2 || words[0] != "gap" {
		return Step{}, fmt.Errorf("want: ! [>|<] gap N|?")
	}
	st := Step{Kind: Gap, Dir: dir, N: -1}
	var err error
	if words[1] != "?" {
		st.N, err = strconv.Atoi(words[1])
	}
	return st, err
}

func endOf(text string, dir decode.Dir) ([]Step, error) {
	dir, words := direction(text, dir)
	if len(words) == 1 {
		for why := decode.Fin; why <= decode.Cut; why++ {
			switch {
			case why.String() != words[0]:
			case why == decode.Fin:
				return []Step{{Kind: End, Dir: dir, Why: why}}, nil
			default:
				return []Step{{Kind: End, Dir: decode.ToServer, Why: why}, {Kind: End, Dir: decode.ToClient, Why: why}}, nil
			}
		}
	}
	return nil, fmt.Errorf("want: . [>|<] fin, or . reset, timeout, evicted, cut")
}

// direction reads an optional arrow; without it dir stands.
func direction(text string, dir decode.Dir) (decode.Dir, []string) {
	words := strings.Fields(text)
	if len(words) > 0 && (words[0] == ">" || words[0] == "<") {
		return arrow(words[0][0]), words[1:]
	}
	return dir, words
}
