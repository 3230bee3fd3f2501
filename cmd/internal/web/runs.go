package web

import (
	"context"
	"crypto/rand"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"mcp401/rules/report"
)

// The states of a run.
const (
	reading = "reading" // or waiting for its turn
	done    = "done"
	failed  = "failed"
)

// A run is one upload, its report and what was made of it. Its files live until
// it is dropped and nobody reads them any more.
type run struct {
	id    string
	files []*upload // complete before the analysis begins
	read  atomic.Int64
	total atomic.Int64

	ended  chan struct{}  // closed when state is no longer reading
	state  string         // this and what follows: valid once ended is closed
	fault  *fault         // of a failed one
	report *file          // in jsonl
	inputs []report.Input // the captures among the files

	cancel context.CancelFunc // ends the analysis

	making sync.Mutex // held while a document is made
	made   map[string]*document

	// Below: of the runs, under their lock.
	size    int64
	used    time.Time
	holders int // 1 while it is kept, and 1 for each request that reads it
	kept    bool
}

// end closes the analysis with its outcome.
func (u *run) end(f *fault) {
	u.state, u.fault = done, f
	if f != nil {
		u.state = failed
	}
	close(u.ended)
}

func (u *run) over() bool {
	select {
	case <-u.ended:
		return true
	default:
		return false
	}
}

// A runs is the runs that are kept, within bounds of number, size and age.
type runs struct {
	lim Limits

	mu   sync.Mutex
	all  map[string]*run
	size int64 // bytes of all files that exist, also of runs that are not kept any more
}

func newRuns(lim Limits) *runs { return &runs{lim: lim, all: map[string]*run{}} }

// add returns a new run, which the caller holds until release. The oldest one
// that is over goes where there are too many.
func (r *runs) add(cancel context.CancelFunc) (*run, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) >= r.lim.Runs && !r.evict(nil) {
		return nil, &fault{http.StatusServiceUnavailable, "as many analyses as can be kept are under way", "try again in a minute"}
	}
	u := &run{id: rand.Text(), ended: make(chan struct{}), cancel: cancel, made: map[string]*document{}, used: time.Now(), holders: 2, kept: true}
	r.all[u.id] = u
	return u, nil
}

// get returns a run, which the caller holds until release; nil: there is none.
func (r *runs) get(id string) *run {
	r.mu.Lock()
	defer r.mu.Unlock()
	u := r.all[id]
	if u != nil {
		u.holders++
		u.used = time.Now()
	}
	return u
}

// release is the end of a hold.
func (r *runs) release(u *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unhold(u)
}

func (r *runs) unhold(u *run) {
	if u.holders--; u.holders > 0 {
		return
	}
	for _, f := range u.files {
		f.close()
	}
	if u.report != nil {
		u.report.close()
	}
	for _, d := range u.made {
		d.close()
	}
	r.size -= u.size
}

// drop ends a run and forgets it.
func (r *runs) drop(u *run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(u)
}

func (r *runs) forget(u *run) {
	if !u.kept {
		return
	}
	u.kept = false
	u.cancel()
	delete(r.all, u.id)
	r.unhold(u)
}

// grow counts n more bytes for u. Older runs go for it.
func (r *runs) grow(u *run, n int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.size+n > r.lim.Kept {
		if !r.evict(u) {
			return &fault{http.StatusInsufficientStorage, "uploads and reports take more than " + size(r.lim.Kept), "wait until others are done, or delete a run"}
		}
	}
	r.size += n
	u.size += n
	return nil
}

// evict forgets the run that nobody asked for for the longest time and that is
// over, but u. It reports whether there was one.
func (r *runs) evict(u *run) bool {
	var oldest *run
	for _, o := range r.all {
		if o != u && o.over() && (oldest == nil || o.used.Before(oldest.used)) {
			oldest = o
		}
	}
	if oldest != nil {
		r.forget(oldest)
	}
	return oldest != nil
}

// expire forgets the runs that nobody asked for for too long.
func (r *runs) expire(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.all {
		if u.over() && now.Sub(u.used) > r.lim.Age {
			r.forget(u)
		}
	}
}

// clear forgets all.
func (r *runs) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, u := range r.all {
		r.forget(u)
	}
}
