package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	firstWait  = time.Second      // before the second try; doubled with each
	longWait   = time.Minute      // but no longer than this
	sendMost   = 10 * time.Second // for one try
	answerMost = 64 << 10         // bytes of an answer that are read
)

// A sender posts to one URL, and tries again where another try may help. The
// URL and the header may hold secrets, and are in no error.
type sender struct {
	url    string
	header http.Header
	client *http.Client
	wait   time.Duration // before the second try
	limit  time.Duration // after which no other try begins
}

// newSender returns a sender to the http or https URL. It follows no redirect:
// what is posted is for who was named.
func newSender(to string, header http.Header, limit time.Duration) (*sender, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("not an http or https URL") // which may hold a secret
	}
	return &sender{
		url: to, header: header, wait: firstWait, limit: limit,
		client: &http.Client{Timeout: sendMost, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}, nil
}

// send tries until the body is taken, is refused for good, or limit or ctx is
// over. It returns the answer's body, cut to answerMost.
func (s *sender) send(ctx context.Context, body []byte) ([]byte, error) {
	end := time.Now().Add(s.limit)
	for n := 0; ; n++ {
		answer, again, err := s.post(ctx, body)
		if err == nil || again < 0 {
			return answer, err
		}
		wait := max(again, backoff(s.wait, n))
		if time.Now().Add(wait).After(end) {
			return nil, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil, err
		case <-timer.C:
		}
	}
}

// backoff is the wait after n+1 tries: twice as long each time, and between
// half and all of it, so that many senders do not come back as one.
func backoff(first time.Duration, n int) time.Duration {
	most := first * (longWait / firstWait)
	wait := most
	if n < 6 { // 2^6 is more than longWait / firstWait
		wait = min(first<<n, most)
	}
	return wait/2 + rand.N(wait/2+1)
}

// post tries once. again is how long the other side wants to be left alone, 0
// where it does not say; negative where another try cannot help.
func (s *sender) post(ctx context.Context, body []byte) (answer []byte, again time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(body))
	if err != nil {
		return nil, -1, errors.New("not a URL")
	}
	r.Header.Set("User-Agent", "mcp401")
	maps.Copy(r.Header, s.header)
	got, err := s.client.Do(r)
	var u *url.Error
	if errors.As(err, &u) {
		return nil, 0, u.Err // without the URL
	}
	if err != nil {
		return nil, 0, err
	}
	defer got.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(got.Body, answerMost))
	code := got.StatusCode
	if code >= 200 && code <= 299 {
		return answer, 0, nil // it was taken, also where the rest of the answer is lost
	}
	err = fmt.Errorf("answered %d", code)
	if code == http.StatusRequestTimeout || code == http.StatusTooManyRequests || code >= 500 && code != http.StatusNotImplemented {
		return nil, retryAfter(got.Header.Get("Retry-After"), time.Now()), err
	}
	return nil, -1, err
}

// retryAfter reads a Retry-After field (RFC 9110 section 10.2.3); 0 for none.
func retryAfter(field string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(field, 10, 31); err == nil {
		return time.Duration(n) * time.Second
	}
	if at, err := http.ParseTime(field); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
