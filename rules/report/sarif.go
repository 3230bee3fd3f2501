package report

import (
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"mcp401/rules"
)

// sarifResults is how many results one document holds: what code scanning
// services take from one run at most. The rest is counted in a notification.
const sarifResults = 25_000

// A sarifWriter writes a SARIF 2.1.0 log (OASIS standard, 27 March 2020) of one
// run. Results are written as they come; what is known later follows them,
// since the members of an object have no order.
type sarifWriter struct {
	jsonWriter
	opt   Options
	rules map[string]int // the index of a rule
	uri   string
	last  *Case // the case that a Finding belongs to
	count int
	noted []sarifNotification
}

// The shapes of SARIF that are used here, named as in the standard.
type (
	sarifMessage struct {
		Text     string `json:"text"`
		Markdown string `json:"markdown,omitempty"`
	}
	sarifRule struct {
		ID               string         `json:"id"`
		ShortDescription sarifMessage   `json:"shortDescription"`
		FullDescription  sarifMessage   `json:"fullDescription"`
		Help             sarifMessage   `json:"help"`
		Default          sarifLevel     `json:"defaultConfiguration"`
		Properties       map[string]any `json:"properties"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifArtifactLocation struct {
		URI   string `json:"uri"`
		Index int    `json:"index"`
	}
	sarifArtifact struct {
		Location   sarifURI       `json:"location"`
		Roles      []string       `json:"roles"`
		Properties map[string]any `json:"properties"`
	}
	sarifURI struct {
		URI string `json:"uri"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifactLocation `json:"artifactLocation"`
		Region           sarifRegion           `json:"region"`
	}
	sarifRegion struct {
		StartLine int `json:"startLine"`
	}
	sarifLogical struct {
		Name               string `json:"name"`
		FullyQualifiedName string `json:"fullyQualifiedName"`
		Kind               string `json:"kind"`
	}
	sarifLocation struct {
		ID               *int           `json:"id,omitempty"`
		PhysicalLocation sarifPhysical  `json:"physicalLocation"`
		LogicalLocations []sarifLogical `json:"logicalLocations"`
		Message          *sarifMessage  `json:"message,omitempty"`
		Properties       map[string]any `json:"properties"`
	}
	sarifResult struct {
		RuleID              string            `json:"ruleId"`
		RuleIndex           *int              `json:"ruleIndex,omitempty"`
		Level               string            `json:"level"`
		Message             sarifMessage      `json:"message"`
		Locations           []sarifLocation   `json:"locations"`
		RelatedLocations    []sarifLocation   `json:"relatedLocations,omitempty"`
		PartialFingerprints map[string]string `json:"partialFingerprints"`
		BaselineState       string            `json:"baselineState,omitempty"`
		Properties          map[string]any    `json:"properties"`
	}
	sarifNotification struct {
		Descriptor sarifID        `json:"descriptor"`
		Level      string         `json:"level"`
		Message    sarifMessage   `json:"message"`
		Properties map[string]any `json:"properties,omitempty"`
	}
	sarifID struct {
		ID string `json:"id"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifInvocation struct {
		Successful    bool                `json:"executionSuccessful"`
		Notifications []sarifNotification `json:"toolExecutionNotifications"`
	}
)

// Code scanning services want a line; a capture has frames, which the logical
// location names, so the line is the file's first.
var sarifWhole = sarifRegion{StartLine: 1}

func newSARIF(w io.Writer, opt Options) Writer {
	s := &sarifWriter{opt: opt, rules: map[string]int{}}
	s.w = w
	for i, r := range opt.Rules {
		s.rules[r.ID] = i
	}
	return s
}

func (s *sarifWriter) Write(o Object) error {
	switch {
	case o.Run != nil:
		s.run = o.Run
		s.uri = artifact(o.Run.Inputs)
		s.put(`{"$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
"version": "2.1.0",
"runs": [{"results": [`)
	case o.Case != nil:
		s.last = o.Case
	case o.Finding != nil:
		s.result(o.Finding)
	case o.Note != nil:
		s.noted = append(s.noted, notification(o.Note))
	case o.Summary != nil:
		s.summary = o.Summary
	}
	return s.err
}

func (s *sarifWriter) result(f *Finding) {
	if s.count++; s.count > sarifResults {
		return
	}
	if s.count > 1 {
		s.put(",")
	}
	s.put("\n")
	r := sarifResult{
		RuleID:              f.Rule,
		Level:               level(f.Severity),
		Message:             sarifMessage{Text: sarifText(f)},
		Locations:           []sarifLocation{s.at(f.CaseFrame)},
		PartialFingerprints: map[string]string{"mcp401/v1": f.Fingerprint},
		Properties: map[string]any{
			"cause": visible(f.Cause), "confidence": visible(f.Confidence), "failure": visible(f.Failure),
			"servers": each(f.Servers, visible), "fix": visible(f.Fix), "verify": visible(f.Verify),
		},
	}
	if i, ok := s.rules[f.Rule]; ok {
		r.RuleIndex = &i
	}
	if f.Known {
		r.BaselineState = "unchanged"
	}
	if c := s.last; c != nil && c.Frame == f.CaseFrame {
		r.Properties["route"] = visible(strings.TrimSpace(c.HTTPMethod + " " + c.Path))
		r.Properties["client"] = visible(c.Client)
	}
	for i, e := range f.Evidence {
		id := i + 1
		l := s.at(e.Frame)
		l.ID = &id
		l.Message = &sarifMessage{Text: literal(e.What + ": " + e.Excerpt)}
		l.Properties["flow"] = visible(e.Flow)
		l.Properties["time"] = e.Time
		r.RelatedLocations = append(r.RelatedLocations, l)
	}
	s.value(r)
}

// sarifText is what happened and what to do, for who sees nothing else.
func sarifText(f *Finding) string {
	text := f.Text
	if f.Cause != "" {
		text += " (" + f.Cause + ")"
	}
	if f.Fix != "" {
		text += ". Fix: " + f.Fix
	}
	return literal(text)
}

// at is a place in the input. A capture has no lines; its frame is named as a
// logical location, which viewers show, and as a property, for programs.
func (s *sarifWriter) at(frame int) sarifLocation {
	name := fmt.Sprintf("%s %d", unit(s.run.Inputs), frame)
	return sarifLocation{
		PhysicalLocation: sarifPhysical{sarifArtifactLocation{URI: s.uri}, sarifWhole},
		LogicalLocations: []sarifLogical{{Name: name, FullyQualifiedName: s.uri + "#" + strings.ReplaceAll(name, " ", "-"), Kind: unit(s.run.Inputs)}},
		Properties:       map[string]any{"frame": frame},
	}
}

func (s *sarifWriter) Close() error {
	if s.run == nil {
		s.Write(Object{Run: &Run{Inputs: []Input{}}})
	}
	if s.summary == nil {
		s.summary = &Summary{}
	}
	if left := s.count - sarifResults; left > 0 {
		s.noted = append(s.noted, sarifNotification{
			Descriptor: sarifID{"limit/results"}, Level: "warning",
			Message: sarifMessage{Text: counted(left, "finding") + " more than a document holds: the json format has all"},
		})
	}
	if s.noted == nil {
		s.noted = []sarifNotification{}
	}
	s.put("\n],\n\"tool\": ")
	s.value(sarifTool{sarifDriver{Name: "mcp401", Version: s.run.Version, Rules: sarifRules(s.opt.Rules)}})
	s.put(",\n\"artifacts\": ")
	s.value(s.artifacts())
	s.put(",\n\"invocations\": ")
	s.value([]sarifInvocation{{Successful: true, Notifications: s.noted}})
	s.put(",\n\"properties\": ")
	s.value(s.numbers())
	s.put("}]\n}\n")
	return s.err
}

// numbers is the summary, for programs.
func (s *sarifWriter) numbers() map[string]any {
	v := map[string]any{"calls": s.summary.Cases, "records": s.summary.Records, "flows": s.summary.Flows, "lost": s.summary.Lost}
	if s.summary.Where != "" {
		v["where"], v["left_out"] = visible(s.summary.Where), s.summary.LeftOut
	}
	return v
}

// artifacts is the inputs. Where they are several, their frames are numbered
// through, and results point at the first.
func (s *sarifWriter) artifacts() []sarifArtifact {
	list := []sarifArtifact{}
	inputs := s.summary.Inputs
	if len(inputs) == 0 {
		inputs = s.run.Inputs
	}
	for _, in := range inputs {
		list = append(list, sarifArtifact{
			Location:   sarifURI{uri(in.Name)},
			Roles:      []string{"analysisTarget"},
			Properties: map[string]any{"kind": visible(in.Kind), "records": in.Records},
		})
	}
	if len(list) == 0 {
		list = append(list, sarifArtifact{Location: sarifURI{s.uri}, Roles: []string{"analysisTarget"}, Properties: map[string]any{}})
	}
	return list
}

func sarifRules(list []rules.Rule) []sarifRule {
	out := []sarifRule{}
	for _, r := range list {
		title := r.Title
		if title == "" {
			title = r.ID
		}
		doc := r.Doc
		if doc == "" {
			doc = title + "."
		}
		out = append(out, sarifRule{
			ID:               r.ID,
			ShortDescription: sarifMessage{Text: title},
			FullDescription:  sarifMessage{Text: title + "."},
			Help:             sarifMessage{Text: doc, Markdown: doc},
			Default:          sarifLevel{level(string(r.Severity))},
			Properties:       map[string]any{"tags": []string{"mcp", "gateway"}},
		})
	}
	return out
}

func notification(n *Note) sarifNotification {
	text := literal(n.Text)
	if text == "" {
		text = literal(n.Code)
	}
	return sarifNotification{
		Descriptor: sarifID{visible(n.Code)},
		Level:      "note",
		Message:    sarifMessage{Text: text},
		Properties: map[string]any{"count": n.Count, "frame": n.Frame},
	}
}

// level is a severity in the words of SARIF.
func level(severity string) string {
	switch rules.Severity(severity) {
	case rules.Error, rules.Warning, rules.Note:
		return severity
	}
	return "none"
}

// literal makes text from a capture into a message that means itself: braces
// are placeholders and brackets are links in SARIF (3.11.5, 3.11.6).
func literal(s string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "]", `\]`, "{", "{{", "}", "}}").Replace(visible(s))
}

func artifact(inputs []Input) string {
	if len(inputs) == 0 {
		return uri("-")
	}
	return uri(inputs[0].Name)
}

// uri is a file name as a URI reference (RFC 3986).
func uri(name string) string {
	name = filepath.ToSlash(name)
	u := url.URL{Path: name}
	if strings.HasPrefix(name, "/") {
		u.Scheme = "file"
	}
	return u.String()
}
