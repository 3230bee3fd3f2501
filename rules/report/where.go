package report

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"mcp401/rules"
	"mcp401/rules/cause"
	"mcp401/rules/hop"
)

// Bounds of a condition: it is read by recursion.
const (
	whereLength = 4096 // bytes
	whereDepth  = 100  // of parentheses and "!"
)

// A Condition chooses among the cases of a report or the lines of a list:
//
//	or      = and { "||" and }
//	and     = not { "&&" not }
//	not     = "!" not | "(" or ")" | field operator value
//
// An operator is one of = != ~ < <= > >=, where ~ finds a regular expression
// (RE2) anywhere in the value. A value is a bare word, or in ' or ", where a
// backslash stands for itself but before that quote. A field with several values
// (server, cause) fits where one of them does, and != says that none is equal.
// What is not there equals "" and is neither less nor greater than anything.
type Condition struct {
	text string
	fits func(*chosen) bool
}

// A chosen is what a condition looks at: a case with its finding, nil where it
// has none.
type chosen struct {
	*Case
	finding *Finding
}

// A WhereError says what is wrong with an expression and where.
type WhereError struct {
	Column int // in characters, from 1; one behind the last for what is missing
	Text   string
	Hint   string
}

func (e *WhereError) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Text) }

// A field is what an expression can ask for: text, a number, or a word with a
// rank.
type field struct {
	name   string
	lists  bool // of the lines of a list, too
	text   func(*chosen) []string
	number func(*chosen) *int
	words  func() []string // all values that there are; nil: any
	ranked bool            // words stand in order, least first
}

// fields is everything that an expression can ask for. To add one, put it here.
var fields = []field{
	{name: "verdict", text: func(c *chosen) []string { return []string{c.Verdict} }},
	{name: "cause", text: causesOf, words: causeWords},
	{name: "severity", text: func(c *chosen) []string { return []string{c.Severity} }, ranked: true,
		words: wordsOf(rules.OK, rules.Note, rules.Warning, rules.Error)},
	{name: "confidence", text: func(c *chosen) []string { return []string{c.Confidence} }, ranked: true,
		words: wordsOf(hop.Suspected, hop.Likely, hop.Linked, hop.Proved)},
	{name: "server", lists: true, text: serversOf},
	{name: "client", lists: true, text: func(c *chosen) []string { return []string{c.Client} }},
	{name: "gateway", text: func(c *chosen) []string { return []string{c.Gateway} }},
	{name: "path", lists: true, text: func(c *chosen) []string { return []string{c.Path} }},
	{name: "status", lists: true, number: func(c *chosen) *int { return c.Status }},
	{name: "tools", lists: true, number: func(c *chosen) *int { return c.Tools }},
	{name: "kind", lists: true, text: func(c *chosen) []string { return []string{c.Kind} }, words: wordsOf(hop.List, hop.ToolCall, hop.LLM)},
	{name: "frame", lists: true, number: func(c *chosen) *int { return &c.Frame }},
	{name: "failure", text: func(c *chosen) []string { return []string{c.Failure} },
		words: wordsOf(hop.Refused, hop.ResetOut, hop.Timeout, hop.Server5xx, hop.Client4xx, hop.RPCError, hop.LoginPage, hop.TLSError, hop.DNSError, hop.BadAnswer)},
}

func wordsOf[S ~string](list ...S) func() []string {
	return func() []string {
		var out []string
		for _, s := range list {
			out = append(out, string(s))
		}
		return out
	}
}

func causeWords() []string {
	var out []string
	for _, c := range cause.Causes {
		out = append(out, string(c.ID))
	}
	return out
}

func causesOf(c *chosen) []string {
	list := []string{c.Cause}
	for i := range c.Upstream {
		list = append(list, c.Upstream[i].Cause)
	}
	return values(list)
}

// serversOf is the servers at fault, in scope and asked, by the names that
// findings use.
func serversOf(c *chosen) []string {
	list := slices.Clone(c.Servers)
	if c.finding != nil {
		list = append(list, c.finding.Servers...)
	}
	for i := range c.Upstream {
		list = append(list, called(&c.Upstream[i]))
	}
	return values(list)
}

// values is a list without what is empty; where nothing is left, "" stands for
// it.
func values(list []string) []string {
	list = slices.DeleteFunc(list, func(s string) bool { return s == "" })
	if len(list) == 0 {
		return []string{""}
	}
	return list
}

// Where reads an expression about the cases of a report. The verdicts that it
// may name are those of list; nil: any. Its errors are *WhereError.
func Where(expr string, list []rules.Rule) (*Condition, error) {
	return where(expr, list, false)
}

// WhereListed reads an expression about the lines of a list, which have no
// verdict. Its errors are *WhereError.
func WhereListed(expr string) (*Condition, error) { return where(expr, nil, true) }

// WhereFields is the names of what an expression can ask for, of lists or of
// cases.
func WhereFields(lists bool) []string {
	var names []string
	for _, f := range fields {
		if f.lists || !lists {
			names = append(names, f.name)
		}
	}
	return names
}

func where(expr string, list []rules.Rule, lists bool) (c *Condition, err error) {
	p := &whereParser{text: expr, lists: lists}
	for _, r := range list {
		p.verdicts = append(p.verdicts, r.ID)
	}
	switch {
	case len(expr) > whereLength:
		return nil, &WhereError{Column: 1, Text: fmt.Sprintf("over %s", counted(whereLength, "byte"))}
	case !utf8.ValidString(expr):
		return nil, &WhereError{Column: 1, Text: "not UTF-8"}
	}
	fits, err := p.or()
	if err == nil && p.peek() != "" {
		err = p.fault(p.at, p.found()+": && or || is wanted", "")
	}
	if err != nil {
		return nil, err
	}
	return &Condition{text: strings.TrimSpace(expr), fits: fits}, nil
}

// A whereParser reads an expression from left to right.
type whereParser struct {
	text     string
	at       int // of the next byte
	depth    int
	lists    bool
	verdicts []string
}

func (p *whereParser) fault(at int, text, hint string) error {
	return &WhereError{Column: utf8.RuneCountInString(p.text[:at]) + 1, Text: text, Hint: hint}
}

// peek skips spaces and returns the rest.
func (p *whereParser) peek() string {
	rest := strings.TrimLeft(p.text[p.at:], " \t\r\n")
	p.at = len(p.text) - len(rest)
	return rest
}

// found names what comes next, for an error.
func (p *whereParser) found() string {
	rest := p.peek()
	if rest == "" {
		return "the end"
	}
	if n := strings.IndexAny(rest, " \t\r\n"); n > 0 {
		rest = rest[:n]
	}
	return strconv.Quote(first(rest, 40))
}

func (p *whereParser) take(token string) bool {
	if !strings.HasPrefix(p.peek(), token) {
		return false
	}
	p.at += len(token)
	return true
}

func (p *whereParser) or() (func(*chosen) bool, error) {
	a, err := p.and()
	for err == nil && p.take("||") {
		left := a
		var right func(*chosen) bool
		right, err = p.and()
		a = func(c *chosen) bool { return left(c) || right(c) }
	}
	return a, err
}

func (p *whereParser) and() (func(*chosen) bool, error) {
	a, err := p.not()
	for err == nil && p.take("&&") {
		left := a
		var right func(*chosen) bool
		right, err = p.not()
		a = func(c *chosen) bool { return left(c) && right(c) }
	}
	return a, err
}

func (p *whereParser) not() (func(*chosen) bool, error) {
	p.peek()
	from := p.at
	if p.depth++; p.depth > whereDepth {
		return nil, p.fault(from, fmt.Sprintf("over %d parentheses and ! in each other", whereDepth), "")
	}
	defer func() { p.depth-- }()
	switch {
	case p.take("!"):
		a, err := p.not()
		return func(c *chosen) bool { return !a(c) }, err
	case p.take("("):
		a, err := p.or()
		if err == nil && !p.take(")") {
			err = p.fault(p.at, fmt.Sprintf("%s: the parenthesis of column %d is not closed", p.found(), utf8.RuneCountInString(p.text[:from])+1), "")
		}
		return a, err
	}
	return p.compare()
}

// operators is the operators, each before those that it begins with.
var operators = []string{"!=", "<=", ">=", "=", "~", "<", ">"}

func (p *whereParser) compare() (func(*chosen) bool, error) {
	rest := p.peek()
	from := p.at
	name := rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz_"))]
	if name == "" {
		return nil, p.fault(from, p.found()+": a comparison is wanted", "as in status >= 400")
	}
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name && (f.lists || !p.lists) })
	if i < 0 {
		return nil, p.fault(from, p.found()+" is no field", "the fields: "+strings.Join(WhereFields(p.lists), ", "))
	}
	f := &fields[i]
	p.at += len(name)
	p.peek()
	op := ""
	for _, o := range operators {
		if op == "" && p.take(o) {
			op = o
		}
	}
	at := p.at - len(op)
	switch {
	case op == "":
		return nil, p.fault(at, p.found()+": an operator is wanted", "one of = != ~ < <= > >=")
	case op == "=" && strings.HasPrefix(p.text[p.at:], "="):
		return nil, p.fault(at, "==: equal is one =", "a value that begins with = stands in quotes")
	case op[0] != '=' && op[0] != '!' && op != "~" && f.number == nil && !f.ranked:
		return nil, p.fault(at, op+": "+name+" has no order", "one of = != ~")
	}
	p.peek()
	at = p.at
	value, err := p.value()
	if err != nil {
		return nil, err
	}
	return p.test(f, op, value, at)
}

// value reads a bare word or a quoted one.
func (p *whereParser) value() (string, error) {
	rest, from := p.peek(), p.at
	if rest == "" || rest[0] != '"' && rest[0] != '\'' {
		n := strings.IndexAny(rest, " \t\r\n()&|\"'")
		if n < 0 {
			n = len(rest)
		}
		if p.at += n; n == 0 {
			return "", p.fault(from, p.found()+": a value is wanted", `an empty one is ""`)
		}
		return rest[:n], nil
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == rest[0]:
			p.at += i + 1
			return b.String(), nil
		case rest[i] == '\\' && i+1 < len(rest) && rest[i+1] == rest[0]:
			i++
		}
		b.WriteByte(rest[i])
	}
	return "", p.fault(from, "the quote is not closed", "")
}

// test is one comparison; at is where its value stands.
func (p *whereParser) test(f *field, op, value string, at int) (func(*chosen) bool, error) {
	if op == "~" {
		re, err := regexp.Compile(value)
		if err != nil {
			return nil, p.fault(at, "not a regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "in quotes, if it has spaces, parentheses or |")
		}
		return func(c *chosen) bool { return slices.ContainsFunc(f.of(c), re.MatchString) }, nil
	}
	if f.number != nil {
		return p.numbers(f, op, value, at)
	}
	var known []string
	switch {
	case f.name == "verdict":
		known = p.verdicts
	case f.name == "kind" && p.lists:
		known = append(slices.Clone(kinds[:]), "request", "response")
	case f.words != nil:
		known = f.words()
	}
	if known != nil && !slices.Contains(known, value) && (value != "" || op[0] == '<' || op[0] == '>') {
		return nil, p.fault(at, strconv.Quote(first(value, 40))+" is no "+f.name, "one of "+strings.Join(known, ", "))
	}
	switch op {
	case "=":
		return func(c *chosen) bool { return slices.Contains(f.text(c), value) }, nil
	case "!=":
		return func(c *chosen) bool { return !slices.Contains(f.text(c), value) }, nil
	}
	rank := slices.Index(known, value)
	return func(c *chosen) bool {
		return slices.ContainsFunc(f.text(c), func(s string) bool {
			i := slices.Index(known, s)
			return i >= 0 && ordered(op, cmp.Compare(i, rank))
		})
	}, nil
}

func (p *whereParser) numbers(f *field, op, value string, at int) (func(*chosen) bool, error) {
	if value == "" && (op == "=" || op == "!=") {
		return func(c *chosen) bool { return (f.number(c) == nil) == (op == "=") }, nil
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return nil, p.fault(at, strconv.Quote(first(value, 40))+" is no number", "~ finds a regular expression in the digits")
	}
	return func(c *chosen) bool {
		v := f.number(c)
		if v == nil {
			return op == "!="
		}
		return ordered(op, cmp.Compare(*v, n))
	}, nil
}

// of is the values of a field as text.
func (f *field) of(c *chosen) []string {
	if f.number == nil {
		return f.text(c)
	}
	return []string{digits(f.number(c))}
}

// ordered reports whether a comparison that came out as n is what op wants.
func ordered(op string, n int) bool {
	switch op {
	case "=":
		return n == 0
	case "!=":
		return n != 0
	case "<":
		return n < 0
	case "<=":
		return n <= 0
	case ">":
		return n > 0
	}
	return n >= 0
}
