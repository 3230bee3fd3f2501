package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/tracing"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"golang.org/x/net/html"

	"mcp401/cmd/internal/bundle"
	"mcp401/rules/all"
	"mcp401/rules/report"
)

// captures is every sample and, where they are there, the HARs of real browsers.
func captures(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../../../samples/*/capture.*")
	if err != nil || len(list) < 9 {
		t.Fatalf("found %d samples, %v", len(list), err)
	}
	hars, _ := filepath.Glob("../../../../shared/har/*.har")
	if len(hars) == 0 {
		t.Log("the HARs of real browsers are not here")
	}
	return append(list, hars...)
}

// analysed is what the program makes of a capture, in one format; "view" is the
// sentences of the page.
func analysed(t *testing.T, file, format string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := report.NewView(&b, report.Options{Rules: all.Rules})
	if f, ok := report.Lookup(format); ok {
		w = f.New(&b, report.Options{Rules: all.Rules})
	}
	in := bundle.File{Name: filepath.Base(file), Open: func() (io.ReadCloser, error) { return os.Open(file) }}
	if _, err := bundle.Analyze(context.Background(), []bundle.File{in}, bundle.Options{Version: "test"}, w.Write); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

type said struct {
	Title, Detail, Certainty, Lost string
	Calls                          int
	Causes                         []struct{ Server, Meaning, Text, Fix, Verify string }
	Servers                        []struct{ Name string }
	Groups                         []struct {
		ID    string
		Count int
	}
}

func viewOf(t *testing.T, file string) said {
	t.Helper()
	var v said
	if err := json.Unmarshal(analysed(t, file, "view"), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// Whatever is dropped, the page says what the program says of it: the answer
// first, each cause with its fix, every call.
func TestPageSaysWhatTheProgramSays(t *testing.T) {
	p := open(t, serve(t), "")
	for _, file := range captures(t) {
		want := viewOf(t, file)
		if got := p.drops(file); got != want.Title+"." {
			t.Errorf("%s: the page says %q, want %q", file, got, want.Title)
		}
		text := js[string](p, `(document.querySelectorAll("details.cause").forEach(d => d.open = true), document.getElementById("main").innerText)`)
		rest := squash(text)
		for _, s := range append([]string{want.Title, want.Detail, want.Certainty}, causesOf(want)...) {
			_, after, ok := strings.Cut(rest, squash(s))
			if !ok {
				t.Errorf("%s: the page does not say %q, or too early", file, s)
				continue
			}
			rest = after
		}
		if n := js[string](p, `document.querySelector(".chip").innerText`); n != fmt.Sprintf("all %d", want.Calls) && want.Calls > 0 {
			t.Errorf("%s: %s calls, want %d", file, n, want.Calls)
		}
		if servers := p.texts("tbody th .link"); len(servers) < len(want.Servers) {
			t.Errorf("%s: %d servers, want %d", file, len(servers), len(want.Servers))
		}
	}
}

func causesOf(v said) (list []string) {
	for _, c := range v.Causes {
		list = append(list, c.Server, c.Text, strings.ReplaceAll(c.Fix, "`", ""), c.Verify)
	}
	return list
}

// squash is a text without its spaces and capitals, which a page may choose.
func squash(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), "")) }

// Each call, opened, is the sequence of messages that the HTML report tells, in
// the same words, drawn with a message for each.
func TestPageCallsAreTheReports(t *testing.T) {
	p := open(t, serve(t), "")
	for _, name := range []string{"tour", "concurrent-clients", "llm-without-tools", "partial-list"} {
		file := "../../../samples/" + name + "/capture.pcap"
		want := stepsOf(t, analysed(t, file, "html"))
		p.drops(file)
		for frame, steps := range want {
			got := js[string](p, `(async () => {
				location.hash = location.hash.replace(/&call=.*/, "") + "&call=" + %s;
				for (let i = 0; i < 200 && !document.querySelector("#opened")?.getAttribute("aria-label").endsWith(" " + %s); i++) await new Promise(r => setTimeout(r, 5));
				await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
				const lines = document.querySelectorAll("#opened .hops line.msg, #opened .hops line.lost").length;
				return [...document.querySelectorAll("#opened .panel > ol li")].map(e => e.innerText).join("\n") + "\n" + lines;
			})()`, frame, frame)
			if got != fmt.Sprintf("%s\n%d", strings.Join(steps, "\n"), len(steps)) {
				t.Errorf("%s: the call of frame %s is told and drawn as\n%s\nwant\n%s", name, frame, got, strings.Join(steps, "\n"))
			}
		}
		if len(want) == 0 {
			t.Errorf("%s: no calls in the report", name)
		}
	}
}

// stepsOf reads the sentences of each call from an HTML report, by its frame.
func stepsOf(t *testing.T, text []byte) map[string][]string {
	t.Helper()
	top, err := html.Parse(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string][]string{}
	for n := range top.Descendants() {
		if n.Data != "details" || !strings.HasPrefix(attribute(n, "class"), "call ") {
			continue
		}
		frame, steps := "", []string{}
		for d := range n.Descendants() {
			if d.Data == "p" && strings.HasPrefix(attribute(d, "id"), "c") {
				frame = attribute(d, "id")[1:]
			}
			if d.Data == "li" {
				steps = append(steps, textOf(d))
			}
		}
		calls[frame] = steps
	}
	return calls
}

func attribute(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

const tourFile = "../../../samples/tour/capture.pcap"

// A swallowed 401 is red, thick and has a sign, the head that came early is
// dashed.
func TestPageDrawsTheFault(t *testing.T) {
	p := open(t, serve(t), "")
	p.drops(tourFile)
	js[bool](p, `(location.hash += "&call=2", true)`)
	p.until(`document.querySelectorAll("#opened .hops .sign").length === 1`)
	type look struct{ Red, Thick, Dashed, Plain string }
	got := js[look](p, `(() => {
		const of = (s) => getComputedStyle(document.querySelector("#opened .hops " + s));
		return {Red: of(".bad .msg").stroke, Thick: of(".bad .msg").strokeWidth, Dashed: of(".msg.head").strokeDasharray, Plain: of("g:not(.bad) .msg").strokeWidth};
	})()`)
	if got.Red != "rgb(184, 20, 42)" || got.Thick <= got.Plain || got.Dashed == "none" {
		t.Errorf("%+v", got)
	}
	if filter := js[string](p, `[...document.querySelectorAll("#opened .do")].find(d => d.innerText.startsWith("Wireshark")).querySelector("code").innerText`); filter != "frame.number in {2, 5, 9, 13, 19}" {
		t.Errorf("the Wireshark filter is %s", filter)
	}
	// A window made narrow, or a phone turned, has all of it.
	p.size(360, 780)
	p.until(`document.querySelector("#opened .hops").getBoundingClientRect().right <= 360`)
}

// The groups and the text choose calls, alone and together, and a server's name
// its calls.
func TestPageFilters(t *testing.T) {
	p := open(t, serve(t), "")
	p.drops(tourFile)
	found := func() string { return js[string](p, `document.querySelector(".found").innerText`) }
	want := viewOf(t, tourFile)
	for _, g := range want.Groups {
		p.click(`[data-group=` + g.ID + `]`)
		if got := found(); got != fmt.Sprintf("%d of %d calls", g.Count, want.Calls) {
			t.Errorf("%s: %s, want %d", g.ID, got, g.Count)
		}
		if js[string](p, `document.querySelector("[data-group=" + %s + "]").getAttribute("aria-pressed")`, g.ID) != "true" {
			t.Errorf("%s does not look pressed", g.ID)
		}
	}
	p.click(`[data-group=""]`)
	p.click(`#filter`)
	for _, c := range []struct{ text, want string }{
		{"staticbad", "2 of 32 calls"}, {"staticbad mcp-rest", "1 of 32 calls"}, {"#835", "1 of 32 calls"}, {"TOKEN-EXPIRED", "1 of 32 calls"}, {"no such thing", "0 of 32 calls"},
	} {
		js[bool](p, `(document.getElementById("filter").select(), true)`)
		p.press(c.text)
		if got := found(); got != c.want {
			t.Errorf("%q: %s, want %s", c.text, got, c.want)
		}
	}
	if js[bool](p, `document.querySelector(".none").hidden`) {
		t.Error("it is not said that nothing fits")
	}
	p.click(`.none button`)
	if got := found(); got != "32 calls" {
		t.Errorf("%s after all are shown again", got)
	}
	js[bool](p, `([...document.querySelectorAll("tbody th .link")].find(b => b.innerText === "staticbad").click(), true)`)
	if got := js[string](p, `location.hash`); !strings.Contains(got, "filter=staticbad") || found() != "2 of 32 calls" {
		t.Errorf("a server's name leads to %s, %s", got, found())
	}
}

// What is saved is what it says it is.
func TestPageDownloads(t *testing.T) {
	p := open(t, serve(t), "")
	dir := t.TempDir()
	if _, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: dir}); err != nil {
		t.Fatal(err)
	}
	p.sample()
	kinds := js[[]string](p, `[...document.querySelectorAll(".take button")].map(b => b.dataset.kind)`)
	for _, kind := range []string{"json", "html", "sarif", "redacted"} {
		if !strings.Contains(strings.Join(kinds, " "), kind) {
			t.Fatalf("there is no %s among %s", kind, kinds)
		}
	}
	begins := map[string]string{"json": "{\"cases\":", "html": "<!DOCTYPE html>", "sarif": "{", "redacted": "\xd4\xc3\xb2\xa1", "csv": "frame", "markdown": "#", "junit": "<?xml"}
	for _, kind := range kinds {
		before, _ := os.ReadDir(dir)
		p.click(`.take [data-kind=` + kind + `]`)
		file := ""
		for end := time.Now().Add(20 * time.Second); file == ""; time.Sleep(20 * time.Millisecond) {
			now, _ := os.ReadDir(dir)
			for _, f := range now {
				if !strings.HasSuffix(f.Name(), ".crdownload") && !strings.HasPrefix(f.Name(), ".") && len(now) > len(before) && !contains(before, f.Name()) {
					file = f.Name()
				}
			}
			if time.Now().After(end) {
				t.Fatalf("%s: nothing was saved", kind)
			}
		}
		b, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !strings.Contains(string(b[:min(len(b), 200)]), begins[kind]) {
			t.Errorf("%s: %s begins with %.60q, %v", kind, file, b, err)
		}
	}
}

func contains(list []os.DirEntry, name string) bool {
	for _, f := range list {
		if f.Name() == name {
			return true
		}
	}
	return false
}

// All of it goes by the keyboard alone, and where the focus is can be seen.
func TestPageByKeyboard(t *testing.T) {
	p := open(t, serve(t), "")
	call(p, page.SetInterceptFileChooserDialog, page.SetInterceptFileChooserDialogParams{Enabled: true})
	chosen := make(chan *page.EventFileChooserOpened, 1)
	if err := chromedp.Listen(p.ctx, func(e any) {
		if c, ok := e.(*page.EventFileChooserOpened); ok {
			chosen <- c
		}
	}); err != nil {
		t.Fatal(err)
	}
	p.press("?")
	p.until(`document.getElementById("keys").open`)
	p.press(kb.Escape)
	p.until(`!document.getElementById("keys").open`)
	p.press("o")
	select {
	case c := <-chosen:
		abs, _ := filepath.Abs(tourFile)
		call(p, dom.SetFileInputFiles, dom.SetFileInputFilesParams{Files: []string{abs}, BackendNodeID: c.BackendNodeID})
	case <-time.After(10 * time.Second):
		t.Fatal("o opens no file chooser")
	}
	p.answered()
	opened := func() string {
		return js[string](p, `document.querySelector("#opened")?.getAttribute("aria-label") ?? ""`)
	}
	focused := func() string { return js[string](p, `document.activeElement.innerText ?? ""`) }
	p.press("jj")
	if got := focused(); !strings.Contains(got, "#22") {
		t.Fatalf("after j j the focus is at %q", got)
	}
	if js[string](p, `getComputedStyle(document.activeElement).outlineStyle`) == "none" {
		t.Error("the focus cannot be seen")
	}
	p.press(kb.Enter)
	if got := opened(); got != "Call of frame 22" {
		t.Errorf("Enter opens %q", got)
	}
	p.press("k")
	p.press(kb.Enter)
	if got := opened(); got != "Call of frame 2" {
		t.Errorf("k Enter opens %q", got)
	}
	p.press(kb.Escape)
	if got := opened(); got != "" || !strings.Contains(focused(), "#2") {
		t.Errorf("after Esc %q is open, and the focus at %q", got, focused())
	}
	p.press("/")
	p.press("header-not")
	if got := js[string](p, `document.querySelector(".found").innerText`); got != "2 of 32 calls" {
		t.Errorf("typed a filter: %s of %q", got, js[string](p, `document.getElementById("filter").value`))
	}
	p.press(kb.Enter)
	if !strings.Contains(focused(), "#835") {
		t.Errorf("Enter in the filter leads to %q", focused())
	}
	p.press(kb.End)
	if !strings.Contains(focused(), "#876") {
		t.Errorf("End leads to %q", focused())
	}
	// By Tab everything is reached, and nothing holds the focus.
	js[bool](p, `(document.querySelector(".skip").focus(), true)`)
	seen := map[string]bool{}
	for range 200 {
		p.press(kb.Tab)
		at := js[string](p, `(() => { const e = document.activeElement; return e === document.body ? "" : e.id || e.dataset.do || e.dataset.kind || e.dataset.group || e.className || e.localName })()`)
		if at == "" {
			break
		}
		seen[at] = true
	}
	for _, want := range []string{"open", "sample", "theme", "help", "hidden", "filter", "row-open", "json", "redacted"} {
		if !seen[want] {
			t.Errorf("Tab does not reach %s, only %v", want, seen)
		}
	}
}

// Nothing is wider than a small screen, in any state.
func TestPageIsNarrow(t *testing.T) {
	p := open(t, serve(t), "")
	p.size(360, 780)
	fits := func(what string) {
		t.Helper()
		if wide := js[int](p, `document.documentElement.scrollWidth`); wide > 360 {
			t.Errorf("%s: %d pixels wide: %s", what, wide, js[string](p, `[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > 361).slice(0, 5).map(e => e.outerHTML.slice(0, 120)).join("\n")`))
		}
	}
	fits("empty")
	for _, file := range []string{tourFile, hostile(t), "../../../samples/browser-har/capture.har"} {
		p.drops(file)
		js[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
		fits(file)
		frames := js[[]string](p, `[...document.querySelectorAll(".row .no")].map(e => e.innerText.slice(1)).slice(0, 4)`)
		for _, f := range frames {
			js[bool](p, `(location.hash = location.hash.replace(/&call=.*/, "") + "&call=" + %s, true)`, f)
			p.until(`document.querySelector("#opened")?.getAttribute("aria-label").endsWith(" " + %s)`, f)
			js[bool](p, `(document.querySelectorAll("#opened details").forEach(d => d.open = true), true)`)
			fits(file + ", call of " + f)
		}
	}
	notes := filepath.Join(t.TempDir(), strings.Repeat("long", 30)+".txt")
	if err := os.WriteFile(notes, []byte("nothing to see\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.loose = true // the server's refusal stands in the browser's log
	p.drops(notes)
	fits("refused")
}

const (
	markup = `<img src=x onerror=alert(1)><script>alert(2)</script>`
	steers = "\u202eevil\u2066\u0007\u001b[31m\u200b\u00ad\u2028"
)

// hostile writes a HAR whose every text wants to be more than text.
func hostile(t *testing.T) string {
	t.Helper()
	type header struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	var entries []any
	for i, name := range []string{markup, steers, strings.Repeat("long-", 80), `"><svg onload=alert(3)>`, "javascript:alert(4)", "__proto__", "constructor", "a\r\nb", "${alert(5)}", "שרת", strings.Repeat("m", 400)} {
		for _, path := range []string{"/mcp/", "/" + name + "/mcp", "/mcp/?q=" + name} {
			result := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"tools":[],"_meta":{"litellm.ai/server_outcomes":{%s:{"status":"auth_required","http_status":401}}}}}`, quoted(name))
			entries = append(entries, map[string]any{
				"startedDateTime": fmt.Sprintf("2026-11-23T08:04:%02d.000Z", len(entries)), "time": 10 + i,
				"request": map[string]any{"method": "POST", "url": "http://gw.example:4000" + path, "httpVersion": "HTTP/1.1",
					"headers":  []header{{"content-type", "application/json"}, {"accept", "application/json, text/event-stream"}, {"x-mcp-servers", name}, {"authorization", "Bearer " + name}},
					"postData": map[string]any{"mimeType": "application/json", "text": `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{}}`}},
				"response": map[string]any{"status": 200, "statusText": name, "httpVersion": "HTTP/1.1", "headers": []header{{"content-type", "application/json"}, {"www-authenticate", `Bearer error="` + name + `"`}},
					"content": map[string]any{"size": len(result), "mimeType": "application/json", "text": result}},
			})
		}
	}
	doc, err := json.Marshal(map[string]any{"log": map[string]any{"version": "1.2", "creator": map[string]any{"name": markup, "version": steers}, "entries": entries}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "hostile <img src=x onerror=alert(6)>.har")
	if err := os.WriteFile(file, doc, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func quoted(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// Nothing of a capture becomes an element, runs, asks for anything or steers
// the eye.
func TestPageOfHostileHAR(t *testing.T) {
	for name, of := range map[string]func(*testing.T) *tab{"server": func(t *testing.T) *tab { return open(t, serve(t), "") }, "file": openLocal} {
		t.Run(name, func(t *testing.T) { hostileHAR(t, of(t)) })
	}
}

func hostileHAR(t *testing.T, p *tab) {
	own := js[int](p, `document.querySelectorAll("script").length`)
	p.drops(hostile(t))
	n := js[int](p, `Number(document.querySelector(".chip b").innerText)`)
	if n < 20 {
		t.Fatalf("%d calls", n)
	}
	check := func(what string) {
		t.Helper()
		if got := js[[]string](p, `[...document.querySelectorAll("img, iframe, object, embed, [onload], [onerror], [href^=javascript], [src]:not(script)")].map(e => e.outerHTML)`); len(got) > 0 {
			t.Errorf("%s: elements from the capture: %s", what, got)
		}
		if got := js[int](p, `document.querySelectorAll("script").length`); got != own {
			t.Errorf("%s: %d scripts, %d of them the page's own", what, got, own)
		}
		text := js[string](p, `document.title + [...document.querySelectorAll("header, main")].map(e => e.textContent + [...e.querySelectorAll("*")].flatMap(e => [...e.attributes].map(a => a.value)).join("")).join("")`)
		for _, r := range text {
			if !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != unicode.ReplacementChar {
				t.Errorf("%s: %U is on the page", what, r)
				break
			}
		}
	}
	check("answer")
	for i := range n {
		p.press("j")
		if i%3 == 0 {
			p.press(kb.Enter)
			p.until(`document.querySelector("#opened .hops line")`)
			check(fmt.Sprintf("call %d", i))
		}
	}
	if got := js[string](p, `document.querySelector("#what").innerText`); !strings.Contains(got, "hostile <img src=x") {
		t.Errorf("the name of the file is %q", got)
	}
}

// A link to a call and a filter survives a reload, and the Back button closes
// the call.
func TestPageSurvivesReload(t *testing.T) {
	p := open(t, serve(t), "")
	p.sample()
	p.click(`[data-group=hidden]`)
	p.click(`#filter`)
	p.press("passthru")
	p.press(kb.Enter)
	p.press("j")
	p.press(kb.Enter)
	label := js[string](p, `document.querySelector("#opened").getAttribute("aria-label")`)
	hash := js[string](p, `location.hash`)
	p.run(chromedp.Reload())
	p.until(`document.querySelector("#opened")`)
	if got := js[string](p, `document.querySelector("#opened").getAttribute("aria-label")`); got != label {
		t.Errorf("after a reload %s is open, want %s", got, label)
	}
	if got := js[string](p, `location.hash + " " + document.getElementById("filter").value + " " + document.querySelector("[aria-pressed=true]").dataset.group`); got != hash+" passthru hidden" {
		t.Errorf("after a reload: %s", got)
	}
	js[bool](p, `(history.back(), true)`) // within one document: nothing loads, that one could wait for
	p.until(`!document.querySelector("#opened") && document.querySelector(".result")`)
	// Another file begins anew.
	p.drops("../../../samples/concurrent-clients/capture.pcap")
	if got := js[string](p, `document.querySelector(".found").innerText + location.hash.replace(/run=[A-Z2-7]+/, "run=ID")`); got != "47 calls#run=ID" {
		t.Errorf("another file: %s", got)
	}
	p.loose = true // the browser's log has the 404
	p.visit("#run=AAAAAAAAAAAAAAAAAAAAAAAAAA")
	p.until(`document.querySelector(".failed")`)
	if got := p.answered(); got != "That result is gone." {
		t.Errorf("of a run that is no more the page says %q", got)
	}
}

// A slowListener accepts connections that read at most 2 MB a second.
type slowListener struct{ net.Listener }

func (l slowListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return slowConn{c}, err
}

type slowConn struct{ net.Conn }

func (c slowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p[:min(len(p), 32<<10)])
	time.Sleep(time.Duration(n) * time.Second / 2_000_000)
	return n, err
}

// While files go up, what is read is told, and Cancel ends it.
func TestPageCancels(t *testing.T) {
	p := open(t, serveOn(t, func(l net.Listener) net.Listener { return slowListener{l} }), "")
	p.drop(many(t, 40_000))
	p.until(`/^Reading: [\d.]+ .B of \d+ MB · [\d.]+ .B\/s/.test(document.querySelector(".told-progress")?.innerText)`)
	if got := js[string](p, `document.querySelector("h1").innerText`); got != "Reading many.har" {
		t.Errorf("the page says %q", got)
	}
	p.click("#cancel")
	p.until(`document.querySelector("#drop") && !document.querySelector(".reading")`)
	if got := p.drops(tourFile); got != viewOf(t, tourFile).Title+"." {
		t.Errorf("after Cancel: %s", got)
	}
}

// Fifty thousand calls are shown without a freeze: no task of the page's thread
// takes 400 ms of the processor, and no more rows exist than fit.
func TestPageOfManyCalls(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short, and this reads 50,000 calls")
	}
	file := many(t, 50_000)
	p := open(t, serve(t), "")
	longest := tasks(p)
	p.drops(file)
	if got := js[string](p, `document.querySelector(".chip").innerText`); got != "all 50,000" {
		t.Fatal(got)
	}
	rows := func() int { return js[int](p, `document.querySelectorAll(".row").length`) }
	p.until(`document.querySelectorAll(".row").length > 0`)
	js[bool](p, `(scrollTo(0, document.documentElement.scrollHeight / 2), true)`)
	p.until(`document.querySelectorAll(".row").length > 15`)
	p.press("/")
	p.press("srv3 #")
	p.press(kb.Backspace)
	p.until(`/ of 50,000 calls/.test(document.querySelector(".found").innerText)`)
	p.press(kb.Escape)
	p.press(kb.Escape)
	p.press("j")
	p.press(kb.End)
	p.until(`document.activeElement.innerText.includes("#50000")`)
	p.press(kb.Enter)
	p.until(`document.querySelector("#opened .hops")`)
	if n := rows(); n > 120 {
		t.Errorf("%d rows exist", n)
	}
	took, n := longest()
	t.Logf("the longest of %d tasks took %v", n, took)
	if took > 400*time.Millisecond || n < 100 {
		t.Errorf("the page froze for %v, the longest of %d tasks", took, n)
	}
}

// tasks watches the tasks of the threads that run pages until its result is called,
// which tells the longest and how many there were. They are measured in time of
// the processor: what else the machine does is no fault of the page.
func tasks(p *tab) func() (longest time.Duration, n int) {
	p.Helper()
	type thread struct{ PID, TID int }
	type event struct {
		thread
		Name string
		TDur int64 // microseconds
		Args struct{ Name string }
	}
	var ran []event
	pages := map[thread]bool{}
	done := make(chan bool, 1)
	if err := chromedp.Listen(p.ctx, func(e any) {
		switch e := e.(type) {
		case *tracing.EventDataCollected:
			for _, v := range e.Value {
				var x event
				if json.Unmarshal(v, &x) != nil {
					continue // of another shape
				}
				switch {
				case x.Name == "RunTask":
					ran = append(ran, x)
				case x.Name == "thread_name" && x.Args.Name == "CrRendererMain":
					pages[x.thread] = true
				}
			}
		case *tracing.EventTracingComplete:
			done <- e.DataLossOccurred
		}
	}); err != nil {
		p.Fatal(err)
	}
	call(p, tracing.Start, tracing.StartParams{TraceConfig: &tracing.TraceConfig{IncludedCategories: []string{"disabled-by-default-devtools.timeline"}, ExcludedCategories: []string{"*"}}})
	return func() (longest time.Duration, n int) {
		p.Helper()
		call(p, tracing.End, cdp.Empty{})
		select {
		case lost := <-done:
			if lost {
				p.Fatal("the trace is not whole")
			}
		case <-p.ctx.Done():
			p.Fatal("the trace does not end")
		}
		for _, e := range ran {
			if pages[e.thread] {
				n++
				longest = max(longest, time.Duration(e.TDur)*time.Microsecond)
			}
		}
		return longest, n
	}
}

// many writes a HAR with n calls, a third of them hiding a 401.
func many(t *testing.T, n int) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "many.har")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprint(f, `{"log":{"version":"1.2","creator":{"name":"test","version":"1"},"entries":[`)
	for i := range n {
		if i > 0 {
			fmt.Fprint(f, ",")
		}
		answer := [...]string{`{"tools":[]}`, `{"tools":[{"name":"a"}]}`, fmt.Sprintf(`{"tools":[],"_meta":{"litellm.ai/server_outcomes":{"srv%d":{"status":"auth_required","http_status":401}}}}`, i%7)}[i%3]
		at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC).Add(time.Duration(i) * 50 * time.Millisecond).Format(time.RFC3339Nano)
		fmt.Fprintf(f, `{"startedDateTime":%q,"time":10,"request":{"method":"POST","url":"http://gw.example:4000/srv%d/mcp","httpVersion":"HTTP/1.1","headers":[{"name":"accept","value":"application/json, text/event-stream"}],`+
			`"postData":{"mimeType":"application/json","text":"{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"tools/list\"}"}},"response":{"status":200,"httpVersion":"HTTP/1.1","headers":[],`+
			`"content":{"mimeType":"application/json","text":%s}}}`, at, i%7, i, quoted(fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"result":%s}`, i, answer)))
	}
	fmt.Fprint(f, `]}}`)
	return file
}

// On paper there is every cause with its fix and the calls as rows that follow
// each other, in light colours.
func TestPagePrints(t *testing.T) {
	p := open(t, serve(t), "")
	p.drops(tourFile)
	p.colours("dark")
	pdf, err := chromedp.Run(p.ctx, chromedp.PrintToPDF())
	if err != nil || !bytes.HasPrefix(pdf, []byte("%PDF-")) {
		t.Fatalf("%.20q, %v", pdf, err)
	}
	p.until(`document.querySelectorAll("details.cause[open]").length === 1`) // as before
	js[bool](p, `(dispatchEvent(new Event("beforeprint")), true)`)
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	type paper struct {
		Rows, Causes, Overlaps int
		Back, Buttons          string
	}
	got := js[paper](p, `(() => {
		const rows = [...document.querySelectorAll(".row")].map(r => r.getBoundingClientRect());
		return {Rows: rows.length, Causes: document.querySelectorAll("details.cause[open]").length, Overlaps: rows.filter((r, i) => i > 0 && r.top < rows[i - 1].bottom - 1).length,
			Back: getComputedStyle(document.body).backgroundColor, Buttons: getComputedStyle(document.querySelector(".buttons")).display};
	})()`)
	want := viewOf(t, tourFile)
	if got != (paper{want.Calls, len(want.Causes), 0, "rgb(255, 255, 255)", "none"}) {
		t.Errorf("%+v", got)
	}
}

// The colours are the system's until the reader chooses, and then stay.
func TestPageColours(t *testing.T) {
	p := open(t, serve(t), "")
	back := func() string { return js[string](p, `getComputedStyle(document.body).backgroundColor`) }
	p.colours("light")
	light := back()
	p.colours("dark")
	dark := back()
	if light != "rgb(255, 255, 255)" || dark == light {
		t.Errorf("light %s, dark %s", light, dark)
	}
	p.click("#theme")
	if back() != light {
		t.Errorf("chosen light over dark: %s", back())
	}
	p.run(chromedp.Reload())
	p.until(`document.getElementById("theme").title`)
	if back() != light {
		t.Errorf("after a reload: %s", back())
	}
	p.click("#theme")
	p.colours("light")
	if back() != dark {
		t.Errorf("chosen dark over light: %s", back())
	}
	js[bool](p, `(localStorage.clear(), true)`)
}
