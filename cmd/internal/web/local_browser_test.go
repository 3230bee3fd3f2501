package web_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"

	"mcp401/cmd/internal/web/engine"
	"mcp401/cmd/internal/web/page"
)

// openLocal opens the page in one file, from the disk.
func openLocal(t *testing.T) *tab {
	t.Helper()
	b, err := engine.Standalone(page.Files(), "test")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "mcp401.html")
	if err := os.WriteFile(name, b, 0o666); err != nil {
		t.Fatal(err)
	}
	return open(t, "file://"+filepath.ToSlash(name), "")
}

// saves lets what is downloaded be saved in a folder, which it returns.
func (p *tab) saves() string {
	p.Helper()
	dir := p.TempDir()
	if _, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: "allow", DownloadPath: dir}); err != nil {
		p.Fatal(err)
	}
	return dir
}

// saved downloads a document and returns it.
func (p *tab) saved(dir, kind string) string {
	p.Helper()
	p.click(`.take [data-kind=` + kind + `]`)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		names, _ := filepath.Glob(filepath.Join(dir, "mcp401-report.*"))
		if len(names) == 1 && !strings.HasSuffix(names[0], ".crdownload") {
			b, err := os.ReadFile(names[0])
			if err != nil {
				p.Fatal(err)
			}
			os.Remove(names[0])
			return string(b)
		}
	}
	p.Fatalf("%s: nothing was saved", kind)
	return ""
}

// The page in one file says what the program says, and its JSON is the
// program's, for every capture, from the disk and without a request.
func TestLocalPageSaysWhatTheProgramSays(t *testing.T) {
	p := openLocal(t)
	dir := p.saves()
	for _, file := range captures(t) {
		if got, want := p.drops(file), viewOf(t, file).Title+"."; got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
		if got, want := p.saved(dir, "json"), string(analysed(t, file, "json")); got != want {
			t.Errorf("%s: %d bytes of JSON are not the program's %d: %.300s", file, len(got), len(want), got)
		}
	}
}

func TestLocalPageDownloads(t *testing.T) {
	p := openLocal(t)
	dir := p.saves()
	const tour = "../../../samples/tour/capture.pcap"
	p.drops(tour)
	kinds := js[[]string](p, `[...document.querySelectorAll(".take button")].map(b => b.dataset.kind)`)
	if len(kinds) < 6 {
		t.Errorf("only %s", kinds)
	}
	for _, kind := range kinds {
		if got, want := p.saved(dir, kind), string(analysed(t, tour, kind)); got != want || len(want) < 1000 {
			t.Errorf("%s: %d bytes are not the program's %d: %.300s", kind, len(got), len(want), got)
		}
	}
}

func TestLocalPageSample(t *testing.T) {
	p := openLocal(t)
	if got, want := p.sample(), viewOf(t, "../../../samples/tour/capture.pcap").Title+"."; got != want {
		t.Errorf("the sample says %q, want %q", got, want)
	}
}

func TestLocalPageErrors(t *testing.T) {
	p := openLocal(t)
	name := filepath.Join(t.TempDir(), "notes.txt")
	os.WriteFile(name, []byte("hello\n"), 0o666)
	p.drops(name)
	if said := js[string](p, `document.querySelector(".failed").innerText`); !strings.Contains(said, "notes.txt: neither a capture") || !strings.Contains(said, "HAR") {
		t.Errorf("it says %q", said)
	}
	if got, want := p.drops("../../../samples/tour/capture.pcap"), viewOf(t, "../../../samples/tour/capture.pcap").Title+"."; got != want {
		t.Errorf("after an error: %q, want %q", got, want)
	}
}

// longHAR writes a HAR of at least size bytes: the sample's entries over and
// over, each time half a minute later.
func longHAR(t *testing.T, size int) string {
	t.Helper()
	b, err := os.ReadFile("../../../samples/browser-har/capture.har")
	if err != nil {
		t.Fatal(err)
	}
	var har struct {
		Log struct {
			Entries []map[string]any `json:"entries"`
		} `json:"log"`
	}
	if err := json.Unmarshal(b, &har); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "long.har")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, _ := f.WriteString(`{"log":{"version":"1.2","creator":{"name":"test","version":"1"},"entries":[`)
	for round := 0; n < size; round++ {
		for i, e := range har.Log.Entries {
			began, err := time.Parse(time.RFC3339Nano, e["startedDateTime"].(string))
			if err != nil {
				t.Fatal(err)
			}
			e["startedDateTime"] = began.Add(30 * time.Second).Format(time.RFC3339Nano)
			entry, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			if round+i > 0 {
				entry = append([]byte(","), entry...)
			}
			written, err := f.Write(entry)
			if err != nil {
				t.Fatal(err)
			}
			n += written
		}
	}
	f.WriteString(`]}}`)
	return name
}

// watched notes what is seen while files are read, and the longest time in which
// the page did nothing.
const watched = `(() => {
	window.seen = new Set();
	window.gap = 0;
	let last = performance.now();
	clearInterval(window.ticking);
	window.ticking = setInterval(() => {
		const now = performance.now();
		gap = Math.max(gap, now - last);
		last = now;
		const told = document.querySelector(".told-progress")?.innerText;
		if (told) seen.add(told);
	}, 10);
	return true;
})()`

// While a long file is read the page lives: it tells how far it is, and can be
// told to stop, at once.
func TestLocalPageLives(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: -short, and this reads long files")
	}
	p := openLocal(t)
	js[bool](p, watched)
	p.drop(longHAR(t, 100<<20))
	p.until(`document.querySelector(".reading progress")?.value > 0`)
	js[bool](p, `(addEventListener("click", () => (window.gone = !document.querySelector(".reading") && document.querySelector("#drop") !== null), {once: true}), true)`)
	p.click(`.reading button`)
	p.until(`window.gone !== undefined`)
	if !js[bool](p, `window.gone`) {
		t.Error("Cancel does not end it at once")
	}
	js[bool](p, watched)
	began := time.Now()
	p.drops(longHAR(t, 16<<20))
	took := time.Since(began)
	gap, seen := time.Duration(js[float64](p, `gap`)*1e6), js[[]string](p, `[...seen]`)
	t.Logf("16 MiB in %v, the page was away for %v at most; it said %q", took, gap, seen)
	if gap > took/2 && gap > time.Second || len(seen) < 3 {
		t.Errorf("16 MiB took %v: the page was away for %v, and said %q", took, gap, seen)
	}
}
