// Package rulestest runs rules over conversations that stand in text with the
// expectation beside the line. It is for tests.
//
// It judges exactly as the program does: records, decoders, the join, all
// rules. The one trick: a conversation is judged in every wrapping (another
// format, link, address family, segment size, order), and each of them must
// give what the script expects; with frames missing it may give less, but no
// accusation that was not there.
//
// A conversation is a section of a txtar file in the syntax of capturetest.
// Behind "=>" of a request stands what is said of it:
//
//	=> VERDICT [CAUSE] [confidence=C] [failure=F] [servers=A,B] [upstream=N]
//	=> none
//
// Without a cause there must be none. "upstream" is the number of attempts,
// "none" that no case begins here. A request without an expectation may be a
// case, but no finding at or above warning. Lines that begin with "#:" say how
// it is judged:
//
//	#: gateway 10.0.1.1:4000       hop.Config, with addresses as in the script
//	#: upstream 10.0.2.1:9101
//	#: server NAME URL [ALIAS]
//	#: hold 5s
//	#: hop down                    only that hop is captured ("down" or "up")
//	#: har                         it is a HAR
//	#: not NAME...: why            wrappings that cannot show the same
package rulestest

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/rules"
	"mcp401/rules/all"
	"mcp401/rules/hop"
)

// A Wrapping is a way to capture a conversation that changes nothing of what
// is to be said of it.
type Wrapping struct {
	Name string
	Wrap capturetest.Wrap
}

// Wrappings is all of them, the plain one first. To add one, put it here: a
// protocol as soon as decode/stack takes it.
var Wrappings = []Wrapping{
	{"plain", capturetest.Wrap{}},
	{"pcapng", capturetest.Wrap{Format: capturetest.Pcapng, BigEndian: true}},
	{"loopback", capturetest.Wrap{Loopback: true, Link: capturetest.Null}},
	{"ipv6", capturetest.Wrap{IPv6: true, Link: capturetest.Raw}},
	{"vlan", capturetest.Wrap{Link: capturetest.VLAN, SeqWrap: true}},
	{"segments", capturetest.Wrap{MSS: 120}},
	{"doubled", capturetest.Wrap{Double: true, Link: capturetest.SLL2}},
	{"reordered", capturetest.Wrap{Reorder: 1}},
	{"mixed", capturetest.Wrap{Mix: true}},
	{"http2", capturetest.Wrap{HTTP2: true}},
	{"tls12", capturetest.Wrap{TLS: tls.VersionTLS12, DSB: true, Format: capturetest.Pcapng}},
	{"tls13", capturetest.Wrap{TLS: tls.VersionTLS13, HTTP2: true, DSB: true, Format: capturetest.Pcapng}},
}

// A Conversation is one section of a file.
type Conversation struct {
	Name   string
	Script string
	Config hop.Config
	Wrap   capturetest.Wrap // what every wrapping has
	Not    []string         // names of wrappings that cannot show the same

	parsed *capturetest.Conversation
}

// Parse reads the scripts of a txtar archive.
func Parse(archive []byte) ([]*Conversation, error) {
	var out []*Conversation
	for _, f := range txtar.Parse(archive).Files {
		c := &Conversation{Name: f.Name, Script: string(f.Data)}
		for line := range strings.Lines(c.Script) {
			if text, ok := strings.CutPrefix(line, "#:"); ok {
				if err := c.directive(strings.Fields(text)); err != nil {
					return nil, fmt.Errorf("%s: %q: %w", c.Name, strings.TrimSpace(line), err)
				}
			}
		}
		var err error
		if c.parsed, err = capturetest.Parse(f.Data); err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, err)
		}
		out = append(out, c)
	}
	return out, nil
}

func (c *Conversation) directive(words []string) (err error) {
	if len(words) == 0 {
		return fmt.Errorf("nothing is said")
	}
	arg := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	var a netip.AddrPort
	switch words[0] {
	case "gateway":
		a, err = netip.ParseAddrPort(arg(1))
		c.Config.Gateways = append(c.Config.Gateways, a)
	case "upstream":
		a, err = netip.ParseAddrPort(arg(1))
		c.Config.Upstreams = append(c.Config.Upstreams, a)
	case "server":
		if c.Config.Names == nil {
			c.Config.Names = map[string]hop.Server{}
		}
		c.Config.Names[arg(1)] = hop.Server{URL: arg(2), Alias: arg(3)}
	case "hold":
		c.Config.Hold, err = time.ParseDuration(arg(1))
	case "hop":
		hops := map[string]capturetest.Hop{"down": capturetest.Down, "up": capturetest.Up}
		if c.Wrap.Hop = hops[arg(1)]; c.Wrap.Hop == capturetest.Both {
			err = fmt.Errorf("no such hop")
		}
	case "har":
		c.Wrap.Format = capturetest.HAR
	case "not":
		for _, w := range words[1:] {
			name, last := strings.CutSuffix(w, ":")
			if !slices.ContainsFunc(Wrappings, func(w Wrapping) bool { return w.Name == name }) {
				return fmt.Errorf("no wrapping %q", name)
			}
			c.Not = append(c.Not, name)
			if last {
				return nil
			}
		}
		err = fmt.Errorf("it does not say why")
	default:
		err = fmt.Errorf("no such word")
	}
	return err
}

// Plain returns the records of the conversation as its directives want them.
func (c *Conversation) Plain() []capture.Record { return c.parsed.Wrap(c.Wrap).Records }

// expects reports whether the conversation expects that verdict.
func (c *Conversation) expects(verdict string) bool {
	return slices.ContainsFunc(c.parsed.Expect(), func(e capturetest.Expect) bool {
		return strings.Fields(e.Text)[0] == verdict
	})
}

// cut reports whether the capture misses something of the conversation.
func (c *Conversation) cut() bool {
	return strings.Contains(c.Script, "! gap") || strings.Contains(c.Script, "! lost") || strings.Contains(c.Script, "! drops")
}

// config is the conversation's configuration with the addresses that a
// wrapping gives.
func (c *Conversation) config(w capturetest.Wrap) hop.Config {
	rehome := func(q []netip.AddrPort) []netip.AddrPort {
		q = slices.Clone(q)
		for i, a := range q {
			switch {
			case w.Loopback:
				q[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), a.Port())
			case w.IPv6:
				b := [16]byte{0: 0xfd}
				copy(b[12:], a.Addr().AsSlice())
				q[i] = netip.AddrPortFrom(netip.AddrFrom16(b), a.Port())
			}
		}
		return q
	}
	cfg := c.Config
	cfg.Gateways, cfg.Upstreams = rehome(cfg.Gateways), rehome(cfg.Upstreams)
	return cfg
}

// Run tests a rule on all conversations in testdata of the caller's folder,
// and that these are what a rule needs: one in which it matches, and two in
// which it must not, one of them with a hole.
func Run(t *testing.T, rule string) {
	conversations := Load(t, "testdata/*.txtar")
	matching, innocent, cut := 0, 0, 0
	for _, c := range conversations {
		switch {
		case c.expects(rule):
			matching++
		case c.cut():
			cut++
			innocent++
		default:
			innocent++
		}
	}
	if matching < 1 || innocent < 2 || cut < 1 {
		t.Errorf("%s: %d conversations with it and %d without, %d of them cut; want 1, 2 and 1", rule, matching, innocent, cut)
	}
	for _, c := range conversations {
		t.Run(c.Name, c.Test)
	}
	matches(t, rule, conversations)
}

// matches calls the rule itself on cases of all shapes: it takes at least those
// that are its own.
func matches(t *testing.T, rule string, conversations []*Conversation) {
	i := slices.IndexFunc(all.Rules, func(r rules.Rule) bool { return r.ID == rule })
	if i < 0 {
		t.Fatalf("%s is not among the rules", rule)
	}
	cases := Shapes()
	for _, c := range conversations {
		for _, v := range Judge(c.Plain(), c.Config) {
			cases = append(cases, v.Case)
		}
	}
	for _, c := range cases {
		f, ok := all.Rules[i].Match(c)
		_, first := all.Judge(c)
		if first.ID == rule && !ok {
			t.Errorf("%s is the verdict of a case that it does not match", rule)
		}
		if ok && f.Text == "" {
			t.Errorf("%s says nothing of %s %s", rule, c.Kind, c.Call.Outcome)
		}
	}
}

// Load reads the conversations of all files that match pattern.
func Load(t testing.TB, pattern string) []*Conversation {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no %s: %v", pattern, err)
	}
	var out []*Conversation
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		cs, err := Parse(txtar.Format(a))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out = append(out, cs...)
	}
	return out
}

// Test judges the conversation in every wrapping, and with frames missing.
func (c *Conversation) Test(t *testing.T) {
	if len(c.parsed.Expect()) == 0 {
		t.Error("it expects nothing")
	}
	if c.Wrap.Format == capturetest.HAR {
		c.check(t, "har", c.parsed.Wrap(c.Wrap), c.Config)
		return
	}
	for _, w := range Wrappings {
		if slices.Contains(c.Not, w.Name) {
			continue
		}
		w.Wrap.Hop = c.Wrap.Hop
		c.check(t, w.Name, c.parsed.Wrap(w.Wrap), c.config(w.Wrap))
	}
	if !slices.Contains(c.Not, "loopback") {
		c.crowd(t)
	}
	whole := c.Plain()
	for seed := range uint64(4) {
		rate := []float64{0.02, 0.08}[seed%2]
		for _, e := range Added(Judge(whole, c.Config), Judge(capturetest.Drop(whole, seed, rate), c.Config)) {
			t.Errorf("with %g of the frames dropped, seed %d: %s", rate, seed, e)
		}
	}
}

// check compares what is said of a capture with what the script expects.
func (c *Conversation) check(t *testing.T, wrapping string, w *capturetest.Capture, cfg hop.Config) {
	t.Helper()
	got := map[int]*Verdict{}
	verdicts := Judge(w.Records, cfg)
	for i := range verdicts {
		v := &verdicts[i]
		if got[v.Frame] != nil && !batch(v, got[v.Frame]) {
			t.Errorf("%s: two cases begin in frame %d", wrapping, v.Frame)
		}
		if got[v.Frame] == nil {
			got[v.Frame] = v
		}
		for _, e := range v.faults() {
			t.Errorf("%s: frame %d, %s: %s", wrapping, v.Frame, v.Rule.ID, e)
		}
	}
	for _, e := range w.Expect {
		v := got[e.Frame]
		delete(got, e.Frame)
		if d := differ(e.Text, v); d != "" {
			t.Errorf("%s: line %d, frame %d: %s", wrapping, e.Line, e.Frame, d)
		}
	}
	for _, v := range got {
		if v.accuses() {
			t.Errorf("%s: frame %d, of which nothing is expected: %s", wrapping, v.Frame, v)
		}
	}
}

// crowd judges the conversation among unrelated traffic where all have one
// address. A refused connection of another program may pass for one of the
// gateway's there, but that is no error: errors are the same.
func (c *Conversation) crowd(t *testing.T) {
	wrap := capturetest.Wrap{Mix: true, Loopback: true, Hop: c.Wrap.Hop}
	w := c.parsed.Wrap(wrap)
	grave := map[string]bool{}
	for i := range all.Rules {
		grave[all.Rules[i].ID] = all.Rules[i].Severity == rules.Error
	}
	want := map[int]string{}
	for _, e := range w.Expect {
		want[e.Frame] = strings.Fields(e.Text)[0]
	}
	for _, v := range Judge(w.Records, c.config(wrap)) {
		id := want[v.Frame]
		delete(want, v.Frame)
		if v.Rule.ID != id && (grave[v.Rule.ID] || grave[id]) {
			t.Errorf("crowd: frame %d: %s\nwant %s", v.Frame, &v, id)
		}
	}
}

// batch reports whether two cases are of one request.
func batch(a, b *Verdict) bool {
	return a.Case.Call.Asked.ID == b.Case.Call.Asked.ID
}

// A Verdict is what was said of one case.
type Verdict struct {
	Frame   int // that begins its request
	Case    *hop.Case
	Finding rules.Finding
	Rule    *rules.Rule
}

func (v *Verdict) String() string {
	f := &v.Finding
	s := v.Rule.ID
	if f.Cause != "" {
		s += " " + string(f.Cause)
	}
	s += " confidence=" + string(f.Confidence)
	if f.Failure != "" {
		s += " failure=" + string(f.Failure)
	}
	return s + " servers=" + strings.Join(f.Servers, ",") + " upstream=" + strconv.Itoa(len(v.Case.Attempts)) + " (" + f.Text + ")"
}

func (v *Verdict) accuses() bool { return v.Rule.Severity.Rank() >= rules.Warning.Rank() }

// faults is what is wrong with a finding whatever it says.
func (v *Verdict) faults() (out []string) {
	f := &v.Finding
	if f.Text == "" || strings.Contains(f.Text, "\n") {
		out = append(out, fmt.Sprintf("its text is %q", f.Text))
	}
	if v.accuses() && (f.Fix == "" || f.Verify == "") {
		out = append(out, "it does not say what to do: "+v.String())
	}
	if len(f.Causes) != len(v.Case.Attempts) {
		out = append(out, fmt.Sprintf("%d causes of %d attempts", len(f.Causes), len(v.Case.Attempts)))
	}
	for _, e := range f.Evidence {
		if e.Frame <= 0 || e.Flow == "" || e.What == "" {
			out = append(out, fmt.Sprintf("evidence that points nowhere: %+v", e))
		}
	}
	return out
}

// differ says how a verdict differs from what is expected; "" where it does
// not.
func differ(want string, v *Verdict) string {
	words := strings.Fields(want)
	if words[0] == "none" {
		if v != nil {
			return "no case is expected: " + v.String()
		}
		return ""
	}
	if v == nil {
		return "no case, want " + want
	}
	cause, f := "", &v.Finding
	bad := v.Rule.ID != words[0]
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		switch {
		case !ok:
			cause = w
		case key == "confidence":
			bad = bad || string(f.Confidence) != value
		case key == "failure":
			bad = bad || string(f.Failure) != value
		case key == "servers":
			bad = bad || strings.Join(f.Servers, ",") != value
		case key == "upstream":
			bad = bad || strconv.Itoa(len(v.Case.Attempts)) != value
		default:
			return "no such expectation: " + w
		}
	}
	if bad || string(f.Cause) != cause {
		return v.String() + "\nwant " + want
	}
	return ""
}

// Judge says what the program says of a capture.
func Judge(records []capture.Record, cfg hop.Config) []Verdict {
	var out []Verdict
	Cases(records, cfg, func(c *hop.Case) {
		f, rule := all.Judge(c)
		out = append(out, Verdict{c.Call.Asked.Asked.Frame, c, f, rule})
	})
	return out
}

// Added lists the accusations of less, a capture that shows less than whole,
// that whole does not make. A call is the same one where client, route and id
// are; frames differ.
func Added(whole, less []Verdict) (out []string) {
	type call struct {
		client         netip.AddrPort
		path, id, kind string
	}
	of := func(v *Verdict) call {
		k := v.Case.Call
		c := call{k.Asked.Flow.Client, k.Asked.Path, "", string(v.Case.Kind)}
		if k.Request != nil {
			c.id = k.Request.ID
		}
		return c
	}
	accused := map[call]bool{}
	for i := range whole {
		if v := &whole[i]; v.accuses() {
			c := of(v)
			accused[c] = true
			c.id = "" // the request's body may be missing
			accused[c] = true
		}
	}
	for i := range less {
		if v := &less[i]; v.accuses() && v.Finding.Confidence != hop.Suspected && !accused[of(v)] {
			out = append(out, fmt.Sprintf("frame %d: %s", v.Frame, v))
		}
	}
	return out
}

// mark is where a record stands.
func mark(r capture.Record) decode.Mark { return decode.Mark{Frame: r.Num, Time: r.Time} }
