package mcp

import "strings"

// The bounds of what is kept of challenges: real ones have one or two.
const (
	maxChallenges = 16
	maxOther      = 16
)

// parseChallenges reads one WWW-Authenticate field (RFC 9110 section 11.6.1):
// schemes, each with parameters or a token68, in a list whose commas separate
// both. It tolerates values without quotes that need them, missing commas and
// missing ends of quotes.
func parseChallenges(to []Challenge, v string) []Challenge {
	s := scanner{v}
	for {
		s.skip(" \t,\r\n")
		if s.rest == "" {
			return to
		}
		word := s.word()
		if word == "" {
			s.rest = s.rest[1:] // no token: one byte is given up, so this ends
			continue
		}
		s.skip(" \t\r\n")
		if value, ok := s.value(); ok && len(to) > 0 {
			to[len(to)-1].set(strings.ToLower(word), value)
			continue
		} else if ok {
			// A parameter before any scheme: a challenge without one.
			to = append(to, Challenge{})
			to[0].set(strings.ToLower(word), value)
			continue
		}
		if len(to) == maxChallenges {
			return to
		}
		to = append(to, Challenge{Scheme: clean(word, 32)})
		s.token68()
	}
}

// A scanner reads a field value from its start.
type scanner struct{ rest string }

func (s *scanner) skip(set string) { s.rest = strings.TrimLeft(s.rest, set) }

// word takes a token (RFC 9110 section 5.6.2).
func (s *scanner) word() string {
	i := 0
	for i < len(s.rest) && tokenByte(s.rest[i]) {
		i++
	}
	w := s.rest[:i]
	s.rest = s.rest[i:]
	return w
}

func tokenByte(c byte) bool {
	return classOf(c) != 0 || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}

// value takes "=" and the value behind it.
func (s *scanner) value() (string, bool) {
	if s.rest == "" || s.rest[0] != '=' {
		return "", false
	}
	s.rest = s.rest[1:]
	s.skip(" \t\r\n")
	if s.rest != "" && s.rest[0] == '"' {
		return s.quoted(), true
	}
	// A value without quotes goes on to the comma or blank, so that a URL with
	// colons and slashes, as LiteLLM wrote it, comes whole.
	i := strings.IndexAny(s.rest, ", \t\r\n")
	if i < 0 {
		i = len(s.rest)
	}
	v := s.rest[:i]
	s.rest = s.rest[i:]
	return v, true
}

// quoted takes a quoted string and undoes its escapes.
func (s *scanner) quoted() string {
	var b strings.Builder
	for i := 1; i < len(s.rest); i++ {
		switch c := s.rest[i]; c {
		case '"':
			s.rest = s.rest[i+1:]
			return b.String()
		case '\\':
			if i++; i < len(s.rest) {
				b.WriteByte(s.rest[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	s.rest = ""
	return b.String()
}

// token68 passes over a token68 ("Negotiate oYG2..."), which is one when it is
// followed by a comma or nothing.
func (s *scanner) token68() {
	i := 0
	for i < len(s.rest) && (classOf(s.rest[i]) != 0 || strings.IndexByte("-._~+/", s.rest[i]) >= 0) {
		i++
	}
	for i < len(s.rest) && s.rest[i] == '=' {
		i++
	}
	tail := strings.TrimLeft(s.rest[i:], " \t\r\n")
	if i > 0 && (tail == "" || tail[0] == ',') {
		s.rest = tail
	}
}

// set puts a parameter into its field. The first of a name counts.
func (c *Challenge) set(name, value string) {
	first := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	switch name {
	case "realm":
		first(&c.Realm, clean(value, 100))
	case "error":
		first(&c.Error, clean(value, 64))
	case "error_description":
		first(&c.ErrorDescription, clean(value, 200))
	case "resource_metadata":
		first(&c.ResourceMetadata, cleanURL(value))
	case "scope":
		first(&c.Scope, clean(value, 200))
	default:
		if len(c.Other) < maxOther {
			c.Other = append(c.Other, clean(name, 32))
		}
	}
}
