package web_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// axe-core, the judge of pages that is best known, has nothing to say against the
// page in any state nor against the HTML report, in light and in dark. AXE names
// the file axe.min.js of the npm package axe-core.
func TestAxe(t *testing.T) {
	if os.Getenv("AXE") == "" {
		t.Skip("skipped: AXE does not name the axe.min.js of the npm package axe-core")
	}
	axe, err := os.ReadFile(os.Getenv("AXE"))
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, serve(t), "")
	call(p, page.SetBypassCSP, page.SetBypassCSPParams{Enabled: true}) // axe brings its own script
	p.loose = true                                                     // and the refusal of a file stands in the log
	judge := func(what string) {
		t.Helper()
		for _, colours := range []string{"light", "dark"} {
			p.colours(colours)
			js[bool](p, `typeof axe !== "undefined" || (() => { `+string(axe)+`; return true })()`)
			options := `{resultTypes: ["violations"]}`
			if colours == "dark" {
				options = `{runOnly: ["color-contrast"]}` // all else is the same
			}
			for _, bad := range js[[]string](p, `axe.run(document, `+options+`).then(r => r.violations.flatMap(v => v.nodes.slice(0, 3).map(n => v.id + ": " + n.html.slice(0, 200) + " " + n.failureSummary)))`) {
				t.Errorf("%s, %s: %s", what, colours, bad)
			}
		}
	}
	p.run(chromedp.Reload())
	judge("empty")
	p.drops(tourFile)
	judge("answer")
	js[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
	js[bool](p, `(location.hash += "&call=22", true)`)
	p.until(`document.querySelector("#opened .hops line")`)
	js[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
	judge("all open")
	p.press("?")
	judge("keys")
	p.size(360, 780)
	p.drops(hostile(t))
	judge("hostile, narrow")
	p.size(1280, 900)
	notes := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(notes, []byte("nothing to see\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.drops(notes)
	judge("refused")

	for _, name := range []string{"partial-list", "empty-upstream"} {
		file := filepath.Join(t.TempDir(), "report.html")
		if err := os.WriteFile(file, analysed(t, "../../../samples/"+name+"/capture.pcap", "html"), 0o644); err != nil {
			t.Fatal(err)
		}
		p.base = "file://" + file
		p.visit("")
		js[bool](p, `(document.querySelectorAll("details").forEach(d => d.open = true), true)`)
		judge("report of " + name)
	}
}
