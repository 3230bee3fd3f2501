package report

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// sarifShapes is the part of SARIF 2.1.0 that is used here: the members of each
// object with the shape of their values. "!" marks those that the standard
// requires, "[]" a list, "*" a property bag.
var sarifShapes = map[string]map[string]string{
	"log":                     {"$schema": "uri", "version": "!2.1.0", "runs": "![]run"},
	"run":                     {"tool": "!tool", "results": "[]result", "artifacts": "[]artifact", "invocations": "[]invocation", "properties": "*"},
	"tool":                    {"driver": "!driver"},
	"driver":                  {"name": "!string", "version": "string", "rules": "[]rule"},
	"rule":                    {"id": "!string", "shortDescription": "message", "fullDescription": "message", "help": "message", "defaultConfiguration": "configuration", "properties": "*"},
	"configuration":           {"level": "level"},
	"message":                 {"text": "!string", "markdown": "string"},
	"artifact":                {"location": "location of an artifact", "roles": "[]role", "properties": "*"},
	"location of an artifact": {"uri": "uri", "index": "number"},
	"invocation":              {"executionSuccessful": "!bool", "toolExecutionNotifications": "[]notification"},
	"notification":            {"descriptor": "descriptor", "level": "level", "message": "!message", "properties": "*"},
	"descriptor":              {"id": "string"},
	"result": {"ruleId": "string", "ruleIndex": "number", "level": "level", "message": "!message", "locations": "[]location",
		"relatedLocations": "[]location", "partialFingerprints": "strings", "baselineState": "unchanged", "properties": "*"},
	"location":          {"id": "number", "physicalLocation": "physical location", "logicalLocations": "[]logical location", "message": "message", "properties": "*"},
	"physical location": {"artifactLocation": "location of an artifact", "region": "region"},
	"region":            {"startLine": "number"},
	"logical location":  {"name": "string", "fullyQualifiedName": "string", "kind": "string"},
}

// checkShape reports where v is not what the standard wants.
func checkShape(t *testing.T, at, shape string, v any) {
	t.Helper()
	if items, ok := strings.CutPrefix(shape, "[]"); ok {
		list, ok := v.([]any)
		if !ok {
			t.Errorf("%s: no list", at)
		}
		for i, item := range list {
			checkShape(t, fmt.Sprintf("%s[%d]", at, i), items, item)
		}
		return
	}
	ok := true
	switch shape {
	case "string":
		s, is := v.(string)
		ok = is && s != ""
	case "uri":
		s, is := v.(string)
		_, err := url.Parse(s)
		ok = is && err == nil && !strings.ContainsAny(s, " <>\"{}|\\^`")
	case "2.1.0", "unchanged":
		ok = v == shape
	case "number":
		n, is := v.(float64)
		ok = is && n >= 0
	case "bool":
		_, ok = v.(bool)
	case "level":
		ok = v == "none" || v == "note" || v == "warning" || v == "error"
	case "role":
		ok = v == "analysisTarget"
	case "strings":
		m, is := v.(map[string]any)
		ok = is
		for _, v := range m {
			_, is := v.(string)
			ok = ok && is
		}
	case "*":
		_, ok = v.(map[string]any)
	default:
		checkObject(t, at, shape, v)
	}
	if !ok {
		t.Errorf("%s: %v is no %s", at, v, shape)
	}
}

func checkObject(t *testing.T, at, shape string, v any) {
	t.Helper()
	m, ok := v.(map[string]any)
	members := sarifShapes[shape]
	if !ok || members == nil {
		t.Errorf("%s: no object of shape %s", at, shape)
	}
	for name, want := range members {
		value, ok := m[name]
		want, required := strings.CutPrefix(want, "!")
		if ok {
			checkShape(t, at+"."+name, want, value)
		} else if required {
			t.Errorf("%s: no %s", at, name)
		}
	}
	for name := range m {
		if members[name] == "" {
			t.Errorf("%s: %s is not in the standard, or not in this test", at, name)
		}
	}
}

// Every report is a SARIF log as the standard has it, and its references lead
// somewhere.
func TestSARIFIsValid(t *testing.T) {
	for name, in := range everything(t) {
		for _, opt := range []Options{{}, {Rules: titles}} {
			text := write(t, "sarif", opt, in)
			var v any
			if err := json.Unmarshal([]byte(text), &v); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			checkShape(t, name, "log", v)
			checkReferences(t, name, sarifOf(t, text))
		}
	}
}

// A sarifRead is what a reader of SARIF makes of a log with one run.
type sarifRead struct {
	Tool      sarifTool         `json:"tool"`
	Results   []sarifResult     `json:"results"`
	Artifacts []sarifArtifact   `json:"artifacts"`
	Calls     []sarifInvocation `json:"invocations"`
}

func sarifOf(t *testing.T, text string) sarifRead {
	t.Helper()
	var log struct{ Runs []sarifRead }
	if err := json.Unmarshal([]byte(text), &log); err != nil || len(log.Runs) != 1 {
		t.Fatalf("%d runs, %v", len(log.Runs), err)
	}
	return log.Runs[0]
}

func checkReferences(t *testing.T, name string, run sarifRead) {
	t.Helper()
	for _, r := range run.Results {
		if r.RuleIndex != nil && run.Tool.Driver.Rules[*r.RuleIndex].ID != r.RuleID {
			t.Errorf("%s: the index %d is not of rule %s", name, *r.RuleIndex, r.RuleID)
		}
		if r.PartialFingerprints["mcp401/v1"] == "" || r.Level == "none" {
			t.Errorf("%s: a result of level %s with fingerprints %v", name, r.Level, r.PartialFingerprints)
		}
		var ids []int
		for _, l := range append(r.RelatedLocations, r.Locations...) {
			a := l.PhysicalLocation.ArtifactLocation
			if run.Artifacts[a.Index].Location.URI != a.URI {
				t.Errorf("%s: artifact %d is %s, not %s", name, a.Index, run.Artifacts[a.Index].Location.URI, a.URI)
			}
			if n, ok := l.Properties["frame"].(float64); !ok || !strings.HasSuffix(l.LogicalLocations[0].Name, fmt.Sprintf(" %.0f", n)) {
				t.Errorf("%s: frame %v is called %s", name, n, l.LogicalLocations[0].Name)
			}
			if l.ID != nil && slices.Contains(ids, *l.ID) {
				t.Errorf("%s: two locations %d", name, *l.ID)
			} else if l.ID != nil {
				ids = append(ids, *l.ID)
			}
		}
	}
}

func TestSARIFResult(t *testing.T) {
	run := sarifOf(t, write(t, "sarif", Options{Rules: titles}, hostile(t)))
	r := run.Results[0]
	if r.RuleID != "swallowed-401" || r.Level != "error" || len(r.RelatedLocations) != 2 || r.Locations[0].Properties["frame"] != 220.0 {
		t.Errorf("%+v", r)
	}
	if len(run.Calls[0].Notifications) != 1 {
		t.Errorf("notifications %+v", run.Calls[0].Notifications)
	}
	if len(run.Results) != len(evils) {
		t.Errorf("%d results", len(run.Results))
	}
	if got, want := literal("{0} [a](b) \\\x1b"), `{{0}} \[a\](b) \\\[U+001B\]`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// File names become URI references that mean the same file.
func TestSARIFNames(t *testing.T) {
	for name, want := range map[string]string{
		"x.pcap": "x.pcap", "a b/ä.har": "a%20b/%C3%A4.har", "/tmp/x#1.pcap": "file:///tmp/x%231.pcap", "-": "-",
		"c:x.pcap": "./c:x.pcap", "50%?.pcap": "50%25%3F.pcap", "\xff": "%FF",
	} {
		if got := uri(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// A log never has more results than services take; what is left out is said.
func TestSARIFIsBounded(t *testing.T) {
	var b strings.Builder
	w := newSARIF(&b, Options{})
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(w.Write(Object{Run: &Run{Inputs: []Input{{Name: "x"}}}}))
	for range sarifResults + 7 {
		must(w.Write(Object{Finding: &Finding{Rule: "r", Severity: "error", Text: "t", Fingerprint: "f"}}))
	}
	must(w.Write(Object{Summary: &Summary{}}))
	must(w.Close())
	run := sarifOf(t, b.String())
	if len(run.Results) != sarifResults || !strings.HasPrefix(run.Calls[0].Notifications[0].Message.Text, "7 findings more") {
		t.Errorf("%d results, %+v", len(run.Results), run.Calls)
	}
}
