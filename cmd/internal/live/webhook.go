package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"mcp401/rules/report"
)

const (
	queued     = 64               // messages that wait to be sent; more are dropped and counted
	webhookFor = 10 * time.Minute // how long a message is tried: an outage of the other side
)

// A Webhook posts new findings to a URL, on a goroutine of its own: Write never
// waits for it. A kind of finding whose message was lost is new again.
type Webhook struct {
	sender *sender
	fresh  Fresh
	last   *report.Case
	queue  chan message
	lost   chan string // fingerprints of messages that could not be sent
	ctx    context.Context
	stop   context.CancelFunc
	done   chan struct{}

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
	s, err := newSender(to, http.Header{"Content-Type": {"application/json"}}, webhookFor)
	if err != nil {
		return nil, fmt.Errorf("--webhook: %w", err)
	}
	return newWebhook(s, every), nil
}

func newWebhook(s *sender, every time.Duration) *Webhook {
	w := &Webhook{sender: s, fresh: Fresh{Every: every}, queue: make(chan message, queued), lost: make(chan string, queued), done: make(chan struct{})}
	w.ctx, w.stop = context.WithCancel(context.Background())
	go w.run()
	return w
}

// Write takes the next object of the report.
func (w *Webhook) Write(o report.Object) {
	switch {
	case o.Case != nil:
		w.last = o.Case
	case o.Finding != nil && w.last != nil:
		w.takeLost()
		at := w.last.Time.Time
		kept, isNew := w.fresh.New(o.Finding, at)
		if !isNew {
			return
		}
		select {
		case w.queue <- message{Text: slack(line(w.last, o.Finding, at.UTC(), kept)), Before: kept, Case: w.last, Finding: o.Finding}:
		default:
			w.dropped.Add(1)
			w.fresh.Lost(o.Finding.Fingerprint)
		}
	}
}

// takeLost has what was not sent said again when it is found again.
func (w *Webhook) takeLost() {
	for {
		select {
		case fingerprint := <-w.lost:
			w.fresh.Lost(fingerprint)
		default:
			return
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
		body, err := json.Marshal(m)
		if err == nil {
			_, err = w.sender.send(w.ctx, body)
		}
		if err == nil {
			w.ill.Store(nil)
			w.sent.Add(1)
			continue
		}
		if w.why == nil || w.ctx.Err() == nil { // the end of patience is no reason
			w.why = err
		}
		w.ill.Store(&err)
		w.failed.Add(1)
		select {
		case w.lost <- m.Finding.Fingerprint:
		default: // nothing is found any more, or it is said again after every
		}
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
