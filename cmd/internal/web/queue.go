package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// A queue lets analyses run, a few at once and one of each client, in the order
// in which their files had come. Places in it are bounded, and taken before a
// byte of an upload is read.
type queue struct {
	lim Limits

	mu      sync.Mutex
	begun   int
	clients map[string]int // places of each
	waiting []*place
	running map[string]bool // clients
}

// A place is one upload and its analysis.
type place struct {
	q       *queue
	client  string
	turn    chan struct{} // closed when the analysis may run
	running bool
}

func newQueue(lim Limits) *queue {
	return &queue{lim: lim, clients: map[string]int{}, running: map[string]bool{}}
}

// take returns a place for a client, which is to be left.
func (q *queue) take(client string) (*place, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.clients[client] >= q.lim.ByClient:
		return nil, &fault{http.StatusTooManyRequests, fmt.Sprintf("%d uploads of yours are under way", q.clients[client]), "wait until one of them is done"}
	case q.begun >= q.lim.Begun:
		return nil, &fault{http.StatusServiceUnavailable, fmt.Sprintf("%d uploads are under way", q.begun), "try again in a minute"}
	}
	q.begun++
	q.clients[client]++
	return &place{q: q, client: client, turn: make(chan struct{})}, nil
}

// wait returns when it is this place's turn to run, or ctx is over.
func (p *place) wait(ctx context.Context) error {
	p.q.mu.Lock()
	p.q.waiting = append(p.q.waiting, p)
	p.q.next()
	p.q.mu.Unlock()
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// leave gives the place back.
func (p *place) leave() {
	q := p.q
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begun--
	if q.clients[p.client]--; q.clients[p.client] == 0 {
		delete(q.clients, p.client)
	}
	q.waiting = slices.DeleteFunc(q.waiting, func(o *place) bool { return o == p })
	if p.running {
		delete(q.running, p.client)
	}
	q.next()
}

// next lets run what may.
func (q *queue) next() {
	for i := 0; i < len(q.waiting) && len(q.running) < q.lim.Running; {
		p := q.waiting[i]
		if q.running[p.client] {
			i++
			continue
		}
		p.running, q.running[p.client] = true, true
		q.waiting = slices.Delete(q.waiting, i, i+1)
		close(p.turn)
	}
}
