// Package live says what a run on the wire finds, while it goes on: rows for a
// terminal, a line for each new finding, counters for Prometheus, traces for
// OpenTelemetry, and messages to a webhook.
//
// It decides nothing about traffic and is never waited for: what the outside
// does not take in time is counted and dropped. The one trick: a finding has a
// fingerprint, so that a storm of the same is said once.
package live

import (
	"time"

	"mcp401/rules/report"
)

// kinds bounds the fingerprints that are remembered. There are as many as
// kinds of findings at servers and routes: a few dozen, unless somebody makes
// up routes.
const kinds = 1024

// A Fresh tells new findings from those that were said already. Its zero value
// says each kind once.
type Fresh struct {
	Every time.Duration // after which the same kind is new again; 0: never

	said map[string]*saying
}

type saying struct {
	at   time.Time
	more int  // of the same kind since
	lost bool // it was not heard
}

// New reports whether a finding at that time is to be said, and how many of
// its kind were kept back since the last that was.
func (f *Fresh) New(v *report.Finding, at time.Time) (keptBack int, isNew bool) {
	if f.said == nil {
		f.said = map[string]*saying{}
	}
	s := f.said[v.Fingerprint]
	if s != nil && !s.lost && (f.Every == 0 || at.Sub(s.at).Abs() < f.Every) { // a clock that was set back does not silence it
		s.more++
		return 0, false
	}
	if s == nil {
		f.room()
		s = &saying{}
		f.said[v.Fingerprint] = s
	}
	keptBack = s.more
	*s = saying{at: at}
	return keptBack, true
}

// Lost says that a kind that New called new was not heard: it is new again, and
// counts with those that were kept back.
func (f *Fresh) Lost(fingerprint string) {
	if s := f.said[fingerprint]; s != nil {
		s.lost = true
		s.more++
	}
}

// room makes room for one more: the one that was said longest ago goes.
func (f *Fresh) room() {
	if len(f.said) < kinds {
		return
	}
	oldest := ""
	for k, s := range f.said {
		if oldest == "" || s.at.Before(f.said[oldest].at) {
			oldest = k
		}
	}
	delete(f.said, oldest)
}
