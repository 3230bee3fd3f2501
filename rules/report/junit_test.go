package report

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A node is an element as a reader of XML sees it.
type node struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Nodes   []node     `xml:",any"`
	Text    string     `xml:",chardata"`
}

func (n *node) attr(name string) string {
	for _, a := range n.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (n *node) all(name string) []node {
	var list []node
	for _, c := range n.Nodes {
		if c.XMLName.Local == name {
			list = append(list, c)
		}
		list = append(list, c.all(name)...)
	}
	return list
}

// junitShapes is what the schemas allow: the attributes of an element, each
// with the form of its value, and its children in their order. Attributes are
// all required.
var junitShapes = map[string]struct {
	attrs    map[string]string
	children string
}{
	"testsuites": {nil, `^(testsuite )*$`},
	"testsuite": {map[string]string{
		"name": `.`, "package": `.`, "id": `^[0-9]+$`, "tests": `^[0-9]+$`, "failures": `^[0-9]+$`, "errors": `^[0-9]+$`, "skipped": `^[0-9]+$`,
		"time": `^[0-9]+\.[0-9]{3}$`, "timestamp": `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$`, "hostname": `^\S+$`,
	}, `^properties (testcase )*system-out system-err $`},
	"properties": {nil, `^(property )*$`},
	"property":   {map[string]string{"name": `^\S+$`, "value": ``}, `^$`},
	"testcase":   {map[string]string{"name": `.`, "classname": `^mcp401\..`, "time": `^[0-9]+\.[0-9]{3}$`}, `^((failure|skipped) )?$`},
	"failure":    {map[string]string{"message": `.`, "type": `.`}, `^$`},
	"skipped":    {nil, `^$`},
	"system-out": {nil, `^$`},
	"system-err": {nil, `^$`},
}

func checkNode(t *testing.T, report string, n *node) {
	t.Helper()
	name := n.XMLName.Local
	shape, ok := junitShapes[name]
	if !ok {
		t.Fatalf("%s: an element %s", report, name)
	}
	for _, a := range n.Attrs {
		if !regexp.MustCompile(`(?s)` + shape.attrs[a.Name.Local]).MatchString(a.Value) {
			t.Errorf("%s: %s has %s=%q", report, name, a.Name.Local, a.Value)
		}
	}
	if len(n.Attrs) != len(shape.attrs) {
		t.Errorf("%s: %s has %d attributes, not %d", report, name, len(n.Attrs), len(shape.attrs))
	}
	children := ""
	for i := range n.Nodes {
		children += n.Nodes[i].XMLName.Local + " "
		checkNode(t, report, &n.Nodes[i])
	}
	if !regexp.MustCompile(shape.children).MatchString(children) {
		t.Errorf("%s: %s holds %s", report, name, children)
	}
}

func junitOf(t *testing.T, text string) *node {
	t.Helper()
	var n node
	if err := xml.Unmarshal([]byte(text), &n); err != nil {
		t.Fatal(err)
	}
	return &n
}

// Every report is XML as the schemas want it, and its counts are right.
func TestJUnitIsValid(t *testing.T) {
	for name, in := range everything(t) {
		n := junitOf(t, write(t, "junit", Options{}, in))
		checkNode(t, name, n)
		for _, s := range n.all("testsuite") {
			for count, element := range map[string]string{"tests": "testcase", "failures": "failure", "skipped": "skipped"} {
				if want := fmt.Sprint(len(s.all(element))); s.attr(count) != want {
					t.Errorf("%s: %s says %s=%s, and there are %s", name, s.attr("name"), count, s.attr(count), want)
				}
			}
			var names []string
			for _, c := range s.all("testcase") {
				if slices.Contains(names, c.attr("name")) {
					t.Errorf("%s: two tests %s at %s", name, c.attr("name"), s.attr("name"))
				}
				names = append(names, c.attr("name"))
			}
		}
	}
}

// A test fails where an upstream is at fault, and only there.
func TestJUnitTests(t *testing.T) {
	n := junitOf(t, write(t, "junit", Options{}, read(t, "testdata/mixed/in.jsonl")))
	got := map[string]string{}
	for _, s := range n.all("testsuite") {
		for _, c := range s.all("testcase") {
			verdict := "passed"
			for _, f := range c.all("failure") {
				verdict = f.attr("type") + ": " + f.attr("message")
			}
			if len(c.all("skipped")) > 0 {
				verdict = "skipped"
			}
			got[s.attr("name")+" "+c.attr("name")] = verdict
		}
	}
	for test, want := range map[string]string{
		"passthru POST /passthru/mcp": "swallowed-401: passthru answered 401 and the client got 200 with no tools (9 of 9 calls)",
		"staticbad POST /mcp/":        "swallowed-401: staticbad answered 401 (2 of 2 calls)",
		"boom POST /mcp/":             "partial-list: 3 of 4 upstreams failed",
		"healthy POST /healthy/mcp":   "passed",
		"x GET /mcp-rest/tools/list":  "passed",
	} {
		if got[test] != want {
			t.Errorf("%s: %q, want %q", test, got[test], want)
		}
	}
}

// A capture may name any number of upstreams: the report stays bounded.
func TestJUnitIsBounded(t *testing.T) {
	var b strings.Builder
	w := newJUnit(&b, Options{})
	for i := range testsKept + 100 {
		w.Write(Object{Case: &Case{Frame: i, HTTPMethod: "POST", Path: fmt.Sprintf("/x%d/mcp", i), Servers: []string{fmt.Sprint("s", i)}}})
		w.Write(Object{Finding: &Finding{Rule: "r", Severity: "error", Servers: []string{fmt.Sprint("s", i)}, Text: "t"}})
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	n := junitOf(t, b.String())
	suites := n.all("testsuite")
	last := suites[len(suites)-1]
	if len(suites) != testsKept+1 || last.attr("name") != others || last.all("failure")[0].attr("message") != "t (100 of 100 calls)" {
		t.Errorf("%d suites, the last is %v with %v", len(suites), last.Attrs, last.all("failure")[0].Attrs)
	}
}
