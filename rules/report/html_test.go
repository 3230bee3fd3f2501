package report

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// elements is every element that a page consists of, and its attributes.
var elements = map[string]string{
	"html": "lang", "head": "", "meta": "charset http-equiv content name", "title": "", "style": "", "body": "", "header": "class", "main": "",
	"footer": "", "section": "class", "article": "class", "div": "class id", "p": "class id", "span": "class title", "strong": "", "b": "",
	"bdi": "", "a": "class href", "code": "", "pre": "", "h1": "", "h2": "", "h3": "", "h4": "", "ol": "", "ul": "", "li": "", "dl": "", "dt": "",
	"dd": "", "details": "class open", "summary": "", "table": "", "thead": "", "tbody": "", "tr": "", "th": "scope class", "td": "class",
	"input": "type name id checked", "label": "for", "defs": "", "path": "class d", "g": "class",
	"svg": "class aria-hidden aria-label role width height x y overflow", "rect": "class x y width height",
	"marker": "id viewBox refX refY markerWidth markerHeight markerUnits orient", "line": "class x1 x2 y1 y2 marker-end",
	"text": "class x y dy text-anchor",
}

// walk calls f with every node below n.
func walk(n *html.Node, f func(*html.Node)) {
	f(n)
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		walk(c, f)
	}
}

func value(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Nothing of a capture becomes markup, a page loads nothing and runs nothing,
// and its links lead to places in it.
func TestHTMLIsInert(t *testing.T) {
	for name, in := range everything(t) {
		page := write(t, "html", Options{Rules: titles}, in)
		top, err := html.Parse(strings.NewReader(page))
		if err != nil {
			t.Fatal(err)
		}
		ids, links := map[string]bool{}, []string{}
		walk(top, func(n *html.Node) {
			if n.Type == html.CommentNode {
				t.Errorf("%s: a comment %q", name, n.Data)
			}
			if n.Type != html.ElementNode {
				return
			}
			allowed, ok := elements[n.Data]
			if !ok {
				t.Errorf("%s: an element %s", name, n.Data)
			}
			for _, a := range n.Attr {
				if !slices.Contains(strings.Fields(allowed), a.Key) {
					t.Errorf("%s: %s has an attribute %s", name, n.Data, a.Key)
				}
				switch a.Key {
				case "id":
					if ids[a.Val] {
						t.Errorf("%s: two elements %s", name, a.Val)
					}
					ids[a.Val] = true
				case "href":
					links = append(links, a.Val)
				}
			}
		})
		for _, link := range links {
			if !strings.HasPrefix(link, "#") || !ids[link[1:]] {
				t.Errorf("%s: a link to %s", name, link)
			}
		}
		for _, bad := range []string{"ZgotmplZ", "<no value>", "<nil>", "%!"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: the page holds %s", name, bad)
			}
		}
	}
}

// The policy of a page allows its style and nothing else.
func TestHTMLPolicy(t *testing.T) {
	top, _ := html.Parse(strings.NewReader(write(t, "html", Options{}, hostile(t))))
	var policy, style string
	walk(top, func(n *html.Node) {
		switch {
		case n.Data == "meta" && value(n, "http-equiv") == "Content-Security-Policy":
			policy = value(n, "content")
		case n.Data == "style":
			style = n.FirstChild.Data
		}
	})
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	if policy != want {
		t.Errorf("policy %s\nwant   %s", policy, want)
	}
	for _, bad := range []string{"url(", "@import", "http"} {
		if strings.Contains(style, bad) {
			t.Errorf("the style holds %s", bad)
		}
	}
}

// textOf is the text of a page.
func textOf(page string) string {
	top, _ := html.Parse(strings.NewReader(page))
	var b strings.Builder
	walk(top, func(n *html.Node) {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(n.Data + " ")
		}
	})
	return strings.Join(strings.Fields(b.String()), " ")
}

// The page says the answer first, then why and what to do.
func TestHTMLAnswers(t *testing.T) {
	for folder, want := range map[string][]string{
		"mixed":   {"passthru and staticbad answered 401, and the gateway hid it.", "11 of 20 calls", "certain", "Do this", "Check it", "hidden here", "200, tools: 0"},
		"healthy": {"No failure of an upstream was hidden from a client."},
		"nothing": {"There is no MCP traffic in this capture that could be read."},
		"har":     {"Proof: the call of entry"},
	} {
		text := textOf(write(t, "html", Options{Rules: titles}, read(t, "testdata/"+folder+"/in.jsonl")))
		at := 0
		for _, s := range want {
			i := strings.Index(text[at:], s)
			if i < 0 {
				t.Errorf("%s: %q does not come, or comes too early, in:\n%.1500s", folder, s, text)
				break
			}
			at += i
		}
	}
}

// Every hidden failure is told by words, too, not by its colour alone.
func TestHTMLTellsWithoutColour(t *testing.T) {
	page := write(t, "html", Options{}, read(t, "testdata/mixed/in.jsonl"))
	signs, words := strings.Count(page, `class="sign"`), strings.Count(page, ">hidden here<")
	if signs == 0 || signs != words || !strings.Contains(page, "(the failure that the client was not told of)") {
		t.Errorf("%d signs, %d words", signs, words)
	}
}

// However many calls there are, a page stays one that opens, and says what it
// leaves out.
func TestHTMLIsBounded(t *testing.T) {
	var b strings.Builder
	w := newHTML(&b, Options{})
	long := strings.Repeat("x", 5000)
	for i := range 20_000 {
		status, tools := 401, 0
		w.Write(Object{Case: &Case{Frame: 1 + i*10, HTTPMethod: "POST", Path: "/" + long, Severity: "error", Verdict: "swallowed-401", Upstream: []Attempt{
			{Server: fmt.Sprint("s", i, long), Status: &status, Tools: &tools, Outcome: "401", Frame: 2 + i*10},
		}}})
		w.Write(Object{Finding: &Finding{Rule: "swallowed-401", Severity: "error", CaseFrame: 1 + i*10, Servers: []string{fmt.Sprint("s", i, long)}, Text: long, Fix: long, Verify: long}})
	}
	w.Write(Object{Summary: &Summary{Cases: 20_000, Findings: 20_000}})
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 4<<20 {
		t.Errorf("%d bytes", b.Len())
	}
	text := textOf(b.String())
	for _, want := range []string{"19600 of 20000 calls are left out here", "985 more causes are left out here"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not said", want)
		}
	}
}

// The columns of a time line hold every call once, in any order.
func TestTimeline(t *testing.T) {
	at := func(ms int64) Time {
		var v Time
		v.UnmarshalJSON([]byte(`"2026-11-23T08:00:00Z"`))
		v.Time = v.Time.Add(time.Duration(ms) * time.Millisecond)
		return v
	}
	times := []int64{0, 1, 2, 100, 90_000, 3, 86_400_000, -5000, 90_001}
	var counts []string
	for _, order := range [][]int{{0, 1, 2, 3, 4, 5, 6, 7, 8}, {8, 7, 6, 5, 4, 3, 2, 1, 0}, {6, 7, 0, 8, 1, 5, 2, 4, 3}} {
		var l timeline
		for _, i := range order {
			l.add(at(times[i]), i%2 == 0)
		}
		l.add(Time{}, true)
		list, most := l.columns()
		all, bad := 0, 0
		for _, b := range list {
			all += b.all
			bad += b.bad
		}
		if all != len(times) || bad != 5 || len(list) > binsKept+1 || len(list) < binsWanted {
			t.Errorf("%d calls, %d bad, in %d columns", all, bad, len(list))
		}
		counts = append(counts, fmt.Sprint(list, most))
	}
	if counts[0] != counts[1] || counts[0] != counts[2] {
		t.Errorf("the order matters: %s", strings.Join(counts, "\n"))
	}
	if floor(-1, 2) != -1 || floor(3, 2) != 1 || floor(-4, 2) != -2 {
		t.Error("floor")
	}
}
