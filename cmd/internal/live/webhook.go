package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"mcp401/rules/report"
)

const (
	queued    = 64               // messages that wait to be sent; more are dropped and counted
	tries     = 5                // of each message
	firstWait = time.Second      // before the second try; doubled with each
	sendMost  = 10 * time.Second // for one try
)

// A Webhook posts new findings to a URL, on a goroutine of its own: Write never
// waits for it.
type Webhook struct {
	url    string
	client *http.Client
	fresh  Fresh
	last   *report.Case
	queue  chan message
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{}
	wait   time.Duration // firstWait, shorter in tests

	sent, dropped, failed atomic.Int64
	why                   error                 // of the last failure; valid when done is closed
	ill                   atomic.Pointer[error] // why the last message was lost; nil: it was not
}

// A message is the JSON that is posted. Slack and what is compatible with it
// show the text; the rest is for programs. It holds what the report holds:
// credentials by kind and keyed hash only.
type message struct {
	Text    string          `json:"text"`
	Before  int             `json:"kept_back"` // of the same kind since the last message
	Case    *report.Case    `json:"case"`
	Finding *report.Finding `json:"finding"`
}

// NewWebhook returns a webhook that posts to the http or https URL. A finding
// of the same kind is posted again after every.
func NewWebhook(to string, every time.Duration) (*Webhook, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("--webhook: not an http or https URL") // which may hold a secret
	}
	w := &Webhook{
		url: to, fresh: Fresh{Every: every}, queue: make(chan message, queued), done: make(chan struct{}), wait: firstWait,
		client: &http.Client{Timeout: sendMost, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	w.ctx, w.stop = context.WithCancel(context.Background())
	go w.run()
	return w, nil
}

// Write takes the next object of the report.
func (w *Webhook) Write(o report.Object) {
	switch {
	case o.Case != nil:
		w.last = o.Case
	case o.Finding != nil && w.last != nil:
		at := w.last.Time.Time
		kept, isNew := w.fresh.New(o.Finding, at)
		if !isNew {
			return
		}
		select {
		case w.queue <- message{Text: slack(line(w.last, o.Finding, at.UTC(), kept)), Before: kept, Case: w.last, Finding: o.Finding}:
		default:
			w.dropped.Add(1)
		}
	}
}

// slack escapes what Slack would read as a mention or a link.
func slack(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func (w *Webhook) run() {
	defer close(w.done)
	for m := range w.queue {
		if err := w.send(m); err != nil {
			w.why = err
			w.failed.Add(1)
			w.ill.Store(&err)
			continue
		}
		w.ill.Store(nil)
		w.sent.Add(1)
	}
}

// send tries until it is sent, refused for good, or tried often enough.
func (w *Webhook) send(m message) error {
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	wait := w.wait
	for n := 1; ; n++ {
		again, err := w.post(body)
		if err == nil || !again || n == tries {
			return err
		}
		select {
		case <-w.ctx.Done():
			return err
		case <-time.After(wait):
		}
		wait *= 2
	}
}

// post tries once, and says whether another try may help.
func (w *Webhook) post(body []byte) (again bool, err error) {
	r, err := http.NewRequestWithContext(w.ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("not a URL")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "mcp401")
	answer, err := w.client.Do(r)
	var u *url.Error
	if errors.As(err, &u) {
		return true, u.Err // without the URL, which may hold a secret
	}
	if err != nil {
		return true, err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10))
	switch code := answer.StatusCode; {
	case code >= 200 && code <= 299:
		return false, nil
	case code == http.StatusTooManyRequests || code >= 500:
		return true, fmt.Errorf("answered %d", code)
	default:
		return false, fmt.Errorf("answered %d", code)
	}
}

// Fault returns why the last message could not be sent, nil when it could.
func (w *Webhook) Fault() error {
	if err := w.ill.Load(); err != nil {
		return *err
	}
	return nil
}

// Failures returns how many messages were lost until now.
func (w *Webhook) Failures() int64 { return w.failed.Load() + w.dropped.Load() }

// Close sends what waits, for as long as patience, and returns an error where
// messages were lost. Nothing is written after it.
func (w *Webhook) Close(patience time.Duration) error {
	close(w.queue)
	timer := time.AfterFunc(patience, w.stop)
	defer timer.Stop()
	<-w.done
	w.stop()
	if w.Failures() == 0 {
		return nil
	}
	err := fmt.Errorf("--webhook: %d messages sent, %d failed, %d dropped because others waited", w.sent.Load(), w.failed.Load(), w.dropped.Load())
	if w.why != nil {
		err = fmt.Errorf("%w; the last: %w", err, w.why)
	}
	return err
}
