package rulestest

import (
	"net/netip"
	"strings"
	"testing"

	"mcp401/capture/capturetest"
	"mcp401/rules"
	"mcp401/rules/hop"
)

const swallowed = `-- x --
down> POST /mcp/one => swallowed-401 token-missing
  x-litellm-api-key: Bearer sk-key-one
  rpc tools/list 7
one> POST /mcp
  rpc initialize 0
one< 401
one. close
down< 200 json
  result tools 0
`

func parse(t *testing.T, text string) *Conversation {
	t.Helper()
	cs, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cs[0]
}

// An expectation that is not met is told, whatever part of it is wrong.
func TestDiffer(t *testing.T) {
	c := parse(t, swallowed)
	v := &Judge(c.Plain(), hop.Config{})[0]
	for want, ok := range map[string]bool{
		"swallowed-401 token-missing": true,
		"swallowed-401 token-missing confidence=linked failure= servers=one upstream=1": true,
		"swallowed-401":                                 false,
		"swallowed-401 token-rejected":                  false,
		"swallowed-403 token-missing":                   false,
		"swallowed-401 token-missing upstream=2":        false,
		"swallowed-401 token-missing failure=5xx":       false,
		"swallowed-401 token-missing servers=two":       false,
		"swallowed-401 token-missing confidence=proved": false,
		"swallowed-401 token-missing colour=red":        false,
		"none":                                          false,
	} {
		if got := differ(want, v); (got == "") != ok {
			t.Errorf("%s: %q", want, got)
		}
	}
	if differ("none", nil) != "" || differ("listed", nil) == "" {
		t.Error("no case")
	}
}

func TestFaults(t *testing.T) {
	c := parse(t, swallowed)
	v := Judge(c.Plain(), hop.Config{})[0]
	if got := v.faults(); len(got) != 0 {
		t.Error(got)
	}
	v.Finding.Text, v.Finding.Fix, v.Finding.Causes = "two\nlines", "", nil
	v.Finding.Evidence = append(v.Finding.Evidence, rules.Evidence{})
	if got := v.faults(); len(got) != 4 {
		t.Errorf("%d faults, want 4: %q", len(got), got)
	}
}

// An accusation that the whole capture does not make is told; one less is not.
func TestAdded(t *testing.T) {
	whole := Judge(parse(t, swallowed).Plain(), hop.Config{})
	fine := Judge(parse(t, strings.Replace(swallowed, "one< 401", "one< 200 json\n  result init one\none> POST /mcp\n  rpc tools/list 1\none< 200 json\n  result tools 0", 1)).Plain(), hop.Config{})
	for _, c := range []struct {
		name        string
		whole, less []Verdict
		want        int
	}{
		{"more", fine, whole, 1}, {"less", whole, fine, 0}, {"the same", whole, whole, 0}, {"nothing", whole, nil, 0},
	} {
		if got := Added(c.whole, c.less); len(got) != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"-- x --\n#:\n":                      "nothing is said",
		"-- x --\n#: gateway here\n":         "here",
		"-- x --\n#: upstream\n":             "upstream",
		"-- x --\n#: hold long\n":            "long",
		"-- x --\n#: hop sideways\n":         "no such hop",
		"-- x --\n#: not sunday: closed\n":   "no wrapping",
		"-- x --\n#: not loopback\n":         "why",
		"-- x --\n#: dance\n":                "no such word",
		"-- x --\n< 200 what is this\n  {\n": "x: line",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestDirectives(t *testing.T) {
	c := parse(t, "-- x --\n#: gateway 10.0.1.1:4000\n#: upstream 10.0.2.1:80\n#: server one http://one/mcp eins\n#: hold 5s\n#: hop up\n#: not vlan mixed: it is a test\n")
	if c.Config.Names["one"].Alias != "eins" || c.Config.Hold == 0 || c.Wrap.Hop != capturetest.Up || len(c.Not) != 2 {
		t.Errorf("%+v", c)
	}
	for w, want := range map[string][2]string{
		"":         {"10.0.1.1:4000", "10.0.2.1:80"},
		"loopback": {"127.0.0.1:4000", "127.0.0.1:80"},
		"ipv6":     {"[fd00::a00:101]:4000", "[fd00::a00:201]:80"},
	} {
		cfg := c.config(capturetest.Wrap{Loopback: w == "loopback", IPv6: w == "ipv6"})
		if cfg.Gateways[0] != netip.MustParseAddrPort(want[0]) || cfg.Upstreams[0] != netip.MustParseAddrPort(want[1]) {
			t.Errorf("%s: %v %v", w, cfg.Gateways, cfg.Upstreams)
		}
	}
	if c.expects("listed") || !parse(t, swallowed).expects("swallowed-401") || c.cut() {
		t.Error("expectations are read wrongly")
	}
}

// The harness itself, over a conversation, a HAR and one that is cut.
func TestConversation(t *testing.T) {
	parse(t, swallowed).Test(t)
	parse(t, strings.NewReplacer("-- x --\n", "-- x --\n#: har\n", " token-missing", "").Replace(swallowed)).Test(t)
	parse(t, strings.NewReplacer("swallowed-401 token-missing", "unseen-upstream", "one< 401", "! lost\none< 401").Replace(swallowed)).Test(t)
}

func TestShapesAreNew(t *testing.T) {
	a, b := Shapes(), Shapes()
	if len(a) < 500 || a[0] == b[0] {
		t.Errorf("%d shapes", len(a))
	}
}

func TestRun(t *testing.T) {
	t.Chdir("../swallowed-401")
	Run(t, "swallowed-401")
}
