package web_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// TestPictures makes the pictures of samples/page anew, in the folder that
// PICTURES names, to be looked at.
func TestPictures(t *testing.T) {
	dir := os.Getenv("PICTURES")
	if dir == "" {
		t.Skip("skipped: PICTURES names no folder for the pictures of samples/page")
	}
	p := open(t, serve(t), "")
	take := func(name, colours string, width, height int64) {
		t.Helper()
		p.colours(colours)
		p.size(width, height)
		js[bool](p, `new Promise(r => requestAnimationFrame(() => requestAnimationFrame(() => r(true))))`)
		b, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
		if len(b) > 150_000 {
			t.Errorf("%s has %d bytes, which is much for a README", name, len(b))
		}
	}
	p.sample()
	p.run(chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, 640, 740))
	js[bool](p, `(document.activeElement.blur(), true)`)
	take("answer.png", "light", 1280, 760)
	p.size(1280, 800)
	js[bool](p, `(location.hash += "&call=2", true)`)
	p.until(`document.querySelector("#opened .hops line")`)
	js[bool](p, `(document.activeElement.blur(), true)`)
	take("call.png", "dark", 1280, 800)
	p.size(360, 720)
	js[bool](p, `(location.hash = location.hash.replace("call=2", "call=835"), true)`)
	p.until(`document.querySelector("#opened[aria-label$='835'] .hops line")`)
	take("narrow.png", "light", 360, 720)
}
