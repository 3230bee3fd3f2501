package web_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"mcp401/cmd/internal/web"
)

// chromium is where a browser is; "" where there is none.
func chromium() string {
	for _, name := range []string{os.Getenv("CHROMIUM"), "chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); name != "" && err == nil {
			return path
		}
	}
	return ""
}

// The browser of all tests of this package, started by the first of them.
var chrome = sync.OnceValues(func() (context.Context, error) {
	dir, err := os.MkdirTemp("", "mcp401-browser-")
	if err != nil {
		return nil, err
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium()), chromedp.UserDataDir(dir), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.DisableGPU,
		chromedp.Flag("headless", "new"), chromedp.Flag("hide-scrollbars", true), chromedp.Flag("mute-audio", true), chromedp.Flag("force-color-profile", "srgb"),
	}
	for _, flag := range []string{"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync", "disable-default-apps", "disable-extensions", "disable-dev-shm-usage"} {
		options = append(options, chromedp.Flag(flag, true))
	}
	ctx, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, close := chromedp.NewContext(ctx)
	quit = func() {
		close()
		stop()
		os.RemoveAll(dir)
	}
	_, err = chromedp.Run(ctx, chromedp.Navigate("about:blank"))
	return ctx, err
})

var quit = func() {}

func TestMain(m *testing.M) {
	status := m.Run()
	quit()
	os.Exit(status)
}

// A tab is a page in a real browser. What goes wrong in it unseen (an exception,
// a violation of the policy, a dialog, a request to elsewhere) fails the test.
type tab struct {
	*testing.T
	ctx  context.Context
	base string // of the server

	mu    sync.Mutex
	wrong []string
	loose bool // errors in the browser's log are no fault of the page
}

// serve starts a server and returns its address.
func serve(t *testing.T) string {
	t.Helper()
	return serveOn(t, func(l net.Listener) net.Listener { return l })
}

// serveOn is serve with its listener in another.
func serveOn(t *testing.T, in func(net.Listener) net.Listener) string {
	t.Helper()
	s, err := web.New(web.Config{Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.Serve(ctx, in(l)); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		stop()
		<-done
		s.Close()
	})
	return "http://" + l.Addr().String() + "/"
}

// open opens a page of base in a tab of its own.
func open(t *testing.T, base, place string) *tab {
	t.Helper()
	if chromium() == "" {
		t.Skip("skipped: chromium is not installed, and this test drives the page in it")
	}
	parent, err := chrome()
	if err != nil {
		t.Fatalf("chromium does not start: %v", err)
	}
	ctx, close := chromedp.NewContext(parent)
	t.Cleanup(close)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	t.Cleanup(cancel)
	p := &tab{T: t, ctx: ctx, base: base}
	p.run(chromedp.Navigate("about:blank"))
	if err := chromedp.Listen(ctx, p.watch); err != nil {
		t.Fatal(err)
	}
	call(p, network.Enable, network.EnableParams{})
	call(p, cdplog.Enable, cdp.Empty{})
	call(p, page.Enable, page.EnableParams{})
	p.size(1280, 900)
	p.visit(place)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, w := range p.wrong {
			t.Error(w)
		}
	})
	return p
}

// watch notes what a page must not do.
func (p *tab) watch(event any) {
	wrong := ""
	switch e := event.(type) {
	case *page.EventJavascriptDialogOpening:
		wrong = "a dialog: " + e.Message
	case *runtime.EventExceptionThrown:
		wrong = "an exception: " + e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			wrong += " " + e.ExceptionDetails.Exception.Description
		}
	case *network.EventRequestWillBeSent:
		u, err := url.Parse(e.Request.URL)
		if err != nil || !strings.HasPrefix(e.Request.URL, p.base) && u.Scheme != "data" && u.Scheme != "blob" && u.Scheme != "about" {
			wrong = "a request to elsewhere: " + e.Request.URL
		}
	case *cdplog.EventEntryAdded:
		if string(e.Entry.Level) == "error" && !p.loose {
			wrong = "in the log: " + e.Entry.Text + " " + e.Entry.URL
		}
	}
	if wrong != "" {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrong = append(p.wrong, wrong)
	}
}

func (p *tab) run(a chromedp.Action[chromedp.Void]) {
	p.Helper()
	if _, err := chromedp.Run(p.ctx, a); err != nil {
		p.Fatal(err)
	}
}

// call sends a command to the browser.
func call[P, R any](p *tab, c cdp.Command[P, R], params P) R {
	p.Helper()
	r, err := chromedp.Call(p.ctx, c, params)
	if err != nil {
		p.Fatalf("%T: %v", params, err)
	}
	return r
}

// visit goes to a place of the page: "", "#call=...".
func (p *tab) visit(place string) {
	p.Helper()
	p.run(chromedp.Navigate(p.base + place))
}

// js evaluates an expression, or a promise, as a value of type T.
func js[T any](p *tab, expression string, args ...any) T {
	p.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](withArgs(expression, args), chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	return v
}

// withArgs puts values as JSON where the expression has %s.
func withArgs(expression string, args []any) string {
	if len(args) == 0 {
		return expression
	}
	list := make([]any, len(args))
	for i, a := range args {
		b, err := json.Marshal(a)
		if err != nil {
			panic(err)
		}
		list[i] = string(b)
	}
	return fmt.Sprintf(expression, list...)
}

// until waits for an expression to be true.
func (p *tab) until(expression string, args ...any) {
	p.Helper()
	expression = withArgs(expression, args)
	for end := time.Now().Add(time.Minute); ; time.Sleep(15 * time.Millisecond) {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if ok && err == nil {
			return
		}
		if time.Now().After(end) {
			p.Fatalf("never true: %s (%v); the page says: %.600s", expression, err, js[string](p, `document.body.innerText`))
		}
	}
}

// press presses keys of the keyboard. A key that the page keeps for itself types
// nothing, as for a person.
func (p *tab) press(keys string) {
	p.Helper()
	for _, r := range keys {
		text := ""
		events := kb.Encode(r)
		for _, e := range events {
			text = cmp.Or(e.Text, text)
		}
		for _, e := range events {
			if e.Type == input.DispatchKeyEventTypeChar {
				continue // a key down with a text is both
			}
			if e.Text = ""; e.Type != input.DispatchKeyEventTypeKeyUp {
				e.Type, e.Text = input.DispatchKeyEventTypeKeyDown, text
			}
			call(p, input.DispatchKeyEvent, *e)
		}
	}
}

// click clicks where the first element of a selector is.
func (p *tab) click(selector string) {
	p.Helper()
	p.until(`document.querySelector(%s)`, selector)
	// Where it stays: what is drawn late moves what stands below it.
	at := js[[]float64](p, `(async () => {
		const e = document.querySelector(%s);
		const place = () => { e.scrollIntoView({block: "center", behavior: "instant"}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] };
		for (let at = place(), next; ; at = next) {
			await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)));
			next = place();
			if (next[0] === at[0] && next[1] === at[1]) return at;
		}
	})()`, selector)
	p.run(chromedp.MouseClickXY(at[0], at[1]))
}

// drop drops files on the page, as from a file manager.
func (p *tab) drop(files ...string) {
	p.Helper()
	data := &input.DragData{Items: []*input.DragDataItem{}, DragOperationsMask: 1}
	for _, f := range files {
		abs, err := filepath.Abs(f)
		if err != nil {
			p.Fatal(err)
		}
		data.Files = append(data.Files, abs)
	}
	for _, kind := range []input.DispatchDragEventType{input.DispatchDragEventTypeDragEnter, input.DispatchDragEventTypeDragOver, input.DispatchDragEventTypeDrop} {
		call(p, input.DispatchDragEvent, input.DispatchDragEventParams{Type: kind, X: 300, Y: 300, Data: data})
	}
}

// answered waits for what the page says of what was dropped, and returns it.
func (p *tab) answered() string {
	p.Helper()
	p.until(`document.querySelector(".result, .failed") && !document.querySelector(".reading")`)
	return js[string](p, `document.querySelector("h1").innerText`)
}

// drops drops files and waits for the answer.
func (p *tab) drops(files ...string) string {
	p.Helper()
	js[bool](p, `(document.querySelector(".result, .failed")?.remove(), true)`)
	p.drop(files...)
	return p.answered()
}

// sample asks for the built-in capture.
func (p *tab) sample() string {
	p.Helper()
	p.click(`[data-do=sample]`)
	return p.answered()
}

func (p *tab) size(width, height int64) {
	p.Helper()
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: 1, Mobile: width < 500})
}

// colours makes the system dark or light.
func (p *tab) colours(scheme string) {
	p.Helper()
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

// texts is the visible text of each element of a selector.
func (p *tab) texts(selector string) []string {
	p.Helper()
	return js[[]string](p, `[...document.querySelectorAll(%s)].map(e => e.innerText)`, selector)
}
