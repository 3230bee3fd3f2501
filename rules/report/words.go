package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mcp401/rules"
	"mcp401/rules/cause"
)

// phrases is how a verdict is said in a sentence: its title with the upstreams
// at fault, what came of it with the number of calls, and one and several of it
// where another verdict has the title.
var phrases = map[string]struct{ title, detail, one, several string }{
	"swallowed-401": {"%s answered 401, and the gateway hid it", "%s came back with 200 and an empty list although an upstream had answered 401.",
		"hidden 401", "hidden 401s"},
	"swallowed-403": {"%s answered 403, and the gateway hid it", "%s came back with 200 and an empty list although an upstream had answered 403.",
		"hidden 403", "hidden 403s"},
	"swallowed-failure": {"%s failed, and the gateway hid it", "%s came back with 200 and an empty list although an upstream had failed.",
		"other hidden failure", "other hidden failures"},
	"partial-list": {"The tools of %s are missing, and the client was not told", "%s came back with a list that lacks the tools of a failed upstream.",
		"list that lacks tools", "lists that lack tools"},
	"llm-without-tools": {"A model was called without the tools of %s", "%s ran a model without the MCP tools that it was to have, because an upstream had failed.",
		"model call without its tools", "model calls without their tools"},
	"call-401": {"%s refused a tool call, and the client got 200", "%s called a tool and got 200, although the upstream had refused.",
		"refused tool call", "refused tool calls"},
	"unseen-upstream": {"A list came back empty, and this capture cannot show why", "%s came back empty, and the upstream side is not in the capture: this is a suspicion, not a proof.",
		"empty list whose reason the capture cannot show", "empty lists whose reason the capture cannot show"},
}

// A headline is what a report says first.
type headline struct {
	title, detail string
	certainty     string // "certain", "likely" or "suspected"; "" where nothing is claimed
	state         string // "hidden" (a failure), "suspected", "clear", "blind" (one side only) or "unreadable"
}

// headline says in words what was found. The digest is sorted.
func (d *digest) headline() headline {
	a := d.answer()
	if d.summary.LeftOut > 0 {
		a.detail += " " + capital(d.narrowed()) + "."
	}
	return a
}

// narrowed says how many calls a condition left out.
func (d *digest) narrowed() string {
	s := d.summary
	return counted(s.LeftOut, "call") + was(s.LeftOut) + " left out by --where " + strconv.Quote(clip(s.Where, whereShown))
}

// whereShown is how many characters of a condition a report repeats.
const whereShown = 200

// answer is the headline of the calls that are there.
func (d *digest) answer() headline {
	s := d.summary
	if s.LeftOut > 0 && (len(d.verdicts) == 0 || rules.Severity(d.verdicts[0].severity).Rank() < rules.Warning.Rank()) {
		return headline{title: "Nothing wrong in the calls that were chosen", detail: counted(s.Cases, "call") + was(s.Cases) + " looked at.", state: "blind"}
	}
	if s.Cases == 0 {
		return headline{title: "There is no MCP traffic in this capture that could be read", detail: capital(d.hint()) + ".", state: "unreadable"}
	}
	if len(d.verdicts) == 0 || rules.Severity(d.verdicts[0].severity).Rank() < rules.Warning.Rank() {
		if !d.both {
			return headline{title: "This capture has only the client's side, and no empty list in it", detail: counted(s.Cases, "call") +
				was(s.Cases) + " checked. Whether a list lacks the tools of a failed upstream cannot be told from this side.", state: "blind"}
		}
		return headline{title: "No failure of an upstream was hidden from a client", detail: counted(s.Cases, "call") +
			was(s.Cases) + " checked, both hops as far as the capture shows them.", state: "clear"}
	}
	v := d.verdicts[0]
	of := fmt.Sprintf("%s of %s", number(v.count), counted(s.Cases, "call"))
	p, known := phrases[v.id]
	if !known {
		return headline{title: cmp.Or(d.title(v.id), v.id), detail: of + ".", certainty: v.certainty(), state: "hidden"}
	}
	a := headline{title: p.title, detail: fmt.Sprintf(p.detail, of), certainty: v.certainty(), state: "hidden"}
	if a.certainty == "suspected" {
		a.state = "suspected"
	}
	switch {
	case strings.Contains(p.title, "%s"):
		a.title = fmt.Sprintf(p.title, v.names())
	case v.count > 1: // "A list came back empty": of several, how many
		a.title = number(v.count) + strings.Replace(p.title, "A list", " lists", 1)
	}
	var also []string
	for _, v := range d.verdicts[1:] {
		if rules.Severity(v.severity).Rank() >= rules.Warning.Rank() {
			also = append(also, v.also())
		}
	}
	if len(also) > 0 {
		a.detail += " Also found: " + strings.Join(also, ", ") + "."
	}
	return a
}

// also is how many findings of a verdict there are, beside those of the title.
func (v *verdict) also() string {
	p, known := phrases[v.id]
	switch {
	case !known:
		return number(v.count) + " " + visible(v.id)
	case v.count == 1:
		return "1 " + p.one
	}
	return number(v.count) + " " + p.several
}

// namesShown is how many upstreams a sentence names.
const namesShown = 3

// names lists the upstreams at fault.
func (v *verdict) names() string {
	if len(v.servers) == 0 || len(v.servers[0].causes) == 0 || len(v.servers[0].causes[0].finding.Servers) == 0 {
		if strings.HasPrefix(phrases[v.id].title, "%s") {
			return "An upstream"
		}
		return "an upstream" // its servers are routes
	}
	var list []string
	for _, s := range v.servers {
		list = append(list, clip(s.name, 60))
	}
	if n := len(list) - namesShown; n > 1 {
		list = append(list[:namesShown], counted(n, "other"))
	}
	if last := len(list) - 1; last > 0 {
		return strings.Join(list[:last], ", ") + " and " + list[last]
	}
	return list[0]
}

// certainty is that of the surest finding.
func (v *verdict) certainty() string {
	word := "suspected"
	for _, s := range v.servers {
		for _, r := range s.causes {
			switch {
			case r.sure:
				return "certain"
			case r.finding.Confidence == "likely":
				word = "likely"
			}
		}
	}
	return word
}

// certainty is the word for a confidence.
func certainty(confidence string) string {
	switch confidence {
	case "likely", "suspected":
		return confidence
	case "proved", "linked":
		return "certain"
	}
	return ""
}

// joins is why an attempt is held to belong to its call.
var joins = map[string]string{
	"proved":    "certain, the gateway itself says so in its answer",
	"linked":    "certain, the credential is the same on both hops or no other call can have caused it",
	"likely":    "likely, it is the best match of several calls at that time",
	"suspected": "suspected, the capture does not show it whole",
}

// meaning is the title of a verdict or a cause; "" for another word.
func (d *digest) meaning(id string) string {
	if title := d.title(id); title != "" {
		return title
	}
	for _, c := range cause.Causes {
		if string(c.ID) == id {
			return c.Title
		}
	}
	return ""
}

func was(n int) string {
	if n == 1 {
		return " was"
	}
	return " were"
}

// why is the meaning of a cause, or the title of a failure; "" for another word.
func (d *digest) why(id string) string {
	f, _ := cause.LookupFailure(id)
	return cmp.Or(d.meaning(id), f.Title)
}

func capital(s string) string {
	if s == "" || s[0] >= 0x80 {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// A step is one message of a call, on either hop.
type step struct {
	from, to int    // lanes: client, gateway, upstream
	server   string // the upstream of a step on the second hop
	frame    int    // 0: there was no message
	time     Time
	text     string
	head     bool // the head of an answer that is still to come
	bad      bool // the failure that the client was not told of, or the answer that did not tell
}

// The lanes of a call.
const (
	client = iota
	gateway
	upstream
)

// stepsShown is how many upstream attempts of one call are told.
const stepsShown = 8

// steps is a call as a sequence of messages in the order of their frames, and
// how many upstream attempts are left out.
func steps(c *Case, f *Finding) (list []step, left int) {
	times := map[int]Time{}
	for _, e := range f.Evidence {
		times[e.Frame] = e.Time
	}
	accused := rules.Severity(c.Severity).Rank() >= rules.Warning.Rank()
	hidden := false
	for _, i := range shown(c, f) {
		a := &c.Upstream[i]
		bad := accused && a.Outcome != "ok"
		hidden = hidden || bad
		asked := cmp.Or(deref(a.RPCMethod), deref(a.HTTPMethod), "connection")
		list = append(list, step{from: gateway, to: upstream, server: name(a), frame: a.Frame, time: a.Time, text: asked})
		back := step{from: upstream, to: gateway, server: name(a), text: a.Outcome, bad: bad}
		if a.Status != nil {
			back.text = answered(a.Status, a.Tools)
		}
		if a.Challenge != nil && a.Challenge.Error != "" {
			back.text += " " + a.Challenge.Error
		}
		if a.AnswerFrame != nil {
			back.frame, back.time = *a.AnswerFrame, times[*a.AnswerFrame]
		} else {
			back.text = cmp.Or(a.Outcome, "no answer")
		}
		list = append(list, back)
	}
	if early(c, list) {
		list = append(list, step{from: gateway, to: client, frame: c.HeadFrame, time: c.HeadTime, text: answered(c.Status, nil) + ", head only", head: true})
	}
	slices.SortStableFunc(list, func(a, b step) int {
		if a.frame == 0 || b.frame == 0 {
			return 0
		}
		return cmp.Compare(a.frame, b.frame)
	})
	asked := step{from: client, to: gateway, frame: c.Frame, time: c.Time, text: strings.TrimSpace(c.HTTPMethod + " " + c.Path)}
	if m := deref(c.RPCMethod); m != "" {
		asked.text = m + ", " + asked.text
	}
	told := step{from: gateway, to: client, time: c.AnswerTime, text: answered(c.Status, c.Tools), bad: hidden || accused && len(c.Upstream) == 0}
	if c.AnswerFrame != nil {
		told.frame = *c.AnswerFrame
	}
	return append(append([]step{asked}, list...), told), max(len(c.Upstream)-stepsShown, 0)
}

// early reports whether the gateway sent the head of its answer, with its
// status, before all was said upstream.
func early(c *Case, upstream []step) bool {
	return c.HeadFrame > 0 && slices.ContainsFunc(upstream, func(s step) bool { return s.frame > c.HeadFrame })
}

// shown is the upstream attempts of a call that are told: all, or of many those
// at fault first.
func shown(c *Case, f *Finding) []int {
	var first, rest []int
	for i := range c.Upstream {
		if a := &c.Upstream[i]; a.Outcome != "ok" && (len(f.Servers) == 0 || slices.Contains(f.Servers, name(a))) {
			first = append(first, i)
		} else {
			rest = append(rest, i)
		}
	}
	list := append(first, rest...)
	return list[:min(len(list), stepsShown)]
}

// name is what an attempt's upstream is called.
func name(a *Attempt) string { return cmp.Or(a.Server, a.URL, a.Address) }

// sentence is a step in words.
func (s *step) sentence(unit string) string {
	lanes := [...]string{"client", "gateway", cmp.Or(s.server, "upstream")}
	text := fmt.Sprintf("%s to %s: %s", lanes[s.from], lanes[s.to], s.text)
	if s.head {
		text += " (its status was sent before the upstream had answered)"
	}
	if s.frame > 0 {
		text = fmt.Sprintf("%s %d, ", unit, s.frame) + text
	}
	switch {
	case s.bad && s.from == upstream:
		text += " (the failure that the client was not told of)"
	case s.bad:
		text += " (the answer that does not tell)"
	}
	return text
}

// wireshark is a display filter for the frames of steps.
func wireshark(list []step) string {
	var frames []string
	for _, s := range list {
		if s.frame > 0 {
			frames = append(frames, fmt.Sprint(s.frame))
		}
	}
	return "frame.number in {" + strings.Join(slices.Compact(frames), ", ") + "}"
}

// A part is text or code.
type part struct {
	Code bool
	Text string
}

// parts cuts text at its backticks. Where they come in no pairs, it is text as
// a whole.
func parts(s string) []part {
	cut := strings.Split(s, "`")
	if len(cut)%2 == 0 {
		return []part{{Text: s}}
	}
	var list []part
	for i, text := range cut {
		if text != "" {
			list = append(list, part{i%2 == 1, text})
		}
	}
	return list
}

// elapsed is the time from a moment to a later one: "+1.204 s".
func elapsed(from, to Time) string {
	if from.IsZero() || to.IsZero() {
		return ""
	}
	d := to.Sub(from.Time)
	switch ms := float64(d.Microseconds()) / 1000; {
	case d < 0 || d > 1<<40: // 18 minutes
		return d.Round(1e9).String()
	case ms < 1000:
		return fmt.Sprintf("+%.1f ms", ms)
	default:
		return fmt.Sprintf("+%.3f s", ms/1000)
	}
}
