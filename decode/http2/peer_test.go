package http2

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
	"mcp401/decode/httpmsg"
)

// A tap takes down what goes through a connection.
type tap struct {
	net.Conn
	mu    *sync.Mutex
	steps *[]decodetest.Step
	dir   decode.Dir // of what is written
}

func (t tap) Write(p []byte) (int, error) {
	t.mu.Lock()
	n := len(*t.steps) + 1
	*t.steps = append(*t.steps, decodetest.Step{Dir: t.dir, At: decode.Mark{Frame: n, Time: decodetest.Epoch}, Data: bytes.Clone(p)})
	t.mu.Unlock()
	return t.Conn.Write(p)
}

// An exchange is what two peers did, told by them.
type exchange struct {
	method, path, request string
	status                int
	response              string
	field                 string
}

// A one is a listener that accepts one connection.
type one struct {
	conn chan net.Conn
	net.Conn
}

func (l one) Accept() (net.Conn, error) {
	c, ok := <-l.conn
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}
func (l one) Addr() net.Addr { return l.Conn.LocalAddr() }
func (l one) Close() error   { return nil }

// converse lets a client and a server of net/http talk HTTP/2, and returns what
// went over the wire and what was meant.
func converse(t testing.TB, n int) ([]decodetest.Step, []exchange) {
	a, b := net.Pipe()
	var mu sync.Mutex
	var steps []decodetest.Step
	client, server := tap{a, &mu, &steps, decode.ToServer}, tap{b, &mu, &steps, decode.ToClient}
	var h2 http.Protocols
	h2.SetUnencryptedHTTP2(true)
	l := one{make(chan net.Conn, 1), server}
	l.conn <- server
	gone := make(chan bool, 4)
	srv := &http.Server{
		Protocols: &h2,
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				gone <- true
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("x-field", "answer to "+r.URL.Path)
			w.Header().Set("trailer", "x-sum")
			w.WriteHeader([]int{200, 401, 403, 500}[len(body)%4])
			for i := range len(body) % 5 {
				fmt.Fprintf(w, "%d %s\n", i, strings.Repeat(r.URL.Path, len(body)))
				w.(http.Flusher).Flush()
			}
			w.Header().Set("x-sum", "1")
		}),
	}
	go srv.Serve(l)
	defer close(l.conn)
	tr := &http.Transport{Protocols: &h2, DialContext: func(context.Context, string, string) (net.Conn, error) { return client, nil }}
	conn := &http.Client{Transport: tr}
	var all []exchange
	for i := range n {
		x := exchange{method: "POST", path: fmt.Sprintf("/path/%d", i%3), request: strings.Repeat("x", i)}
		if i == 0 {
			x.method = "GET"
		}
		req, err := http.NewRequest(x.method, "http://a.example"+x.path, strings.NewReader(x.request))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("x-field", "asked")
		resp, err := conn.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		x.status, x.response, x.field = resp.StatusCode, string(body), resp.Header.Get("x-field")
		all = append(all, x)
	}
	client.Close()
	<-gone
	mu.Lock()
	defer mu.Unlock()
	return slices.Clone(steps), all
}

// gather makes exchanges of events.
type gather struct {
	all  map[uint32]*exchange
	over map[uint32]int
}

func (g *gather) event(e *httpmsg.Event) {
	x := g.all[e.ID.Stream]
	if x == nil {
		x = new(exchange)
		g.all[e.ID.Stream] = x
	}
	switch {
	case e.Kind == httpmsg.Head && e.Dir == decode.ToServer:
		x.method, x.path = e.Method, e.Target
	case e.Kind == httpmsg.Head:
		x.status = e.Status
		x.field, _ = e.Header.Get("x-field")
	case e.Kind == httpmsg.Body && e.Dir == decode.ToServer:
		x.request += string(e.Data)
	case e.Kind == httpmsg.Body:
		x.response += string(e.Data)
	case e.Kind == httpmsg.Done:
		g.over[e.ID.Stream]++
	}
}

// What two real peers sent is what is told, at every cut.
func TestPeers(t *testing.T) {
	steps, want := converse(t, 40)
	run := func(size int) {
		g := gather{map[uint32]*exchange{}, map[uint32]int{}}
		c := New(decode.Flow{First: 1}, "http", decode.Limits{}, g.event, func(n decode.Note) { t.Errorf("note %+v", n) })
		for _, st := range steps {
			for p := st.Data; len(p) > 0; {
				n := min(size, len(p))
				c.Data(st.Dir, st.At, bytes.Clone(p[:n]))
				p = p[n:]
			}
		}
		if len(g.all) != len(want) {
			t.Fatalf("pieces of %d: %d exchanges, want %d", size, len(g.all), len(want))
		}
		for i, w := range want {
			id := uint32(2*i + 1)
			if got := g.all[id]; *got != w || g.over[id] != 2 {
				t.Fatalf("pieces of %d: stream %d over %d: got\n%+v, want\n%+v", size, id, g.over[id], *got, w)
			}
		}
	}
	for _, size := range []int{1, 2, 3, 7, 100, 1 << 20} {
		run(size)
	}
}

// The same conversation under the whole harness.
func TestPeersAnyCutAnyHole(t *testing.T) {
	steps, _ := converse(t, 5)
	s := &decodetest.Script{Flow: decode.Flow{First: 1}, Options: map[string]string{}, Steps: steps}
	s.Want = play(s).String()
	suite.Test(t, s)
}

// A capture may begin with any frame. Whatever is told then is right, or not
// known.
func TestBeginAnywhere(t *testing.T) {
	steps, want := converse(t, 20)
	later := make([]int, len(steps)) // exchanges that begin with that step or later
	c := New(decode.Flow{First: 1}, "http", decode.Limits{}, func(e *httpmsg.Event) {
		if e.Kind == httpmsg.Head && e.Dir == decode.ToServer {
			for i := range e.From.Frame {
				later[i]++
			}
		}
	}, func(decode.Note) {})
	for _, st := range steps {
		c.Data(st.Dir, st.At, st.Data)
	}
	for from := range steps {
		g := gather{map[uint32]*exchange{}, map[uint32]int{}}
		c := New(decode.Flow{First: 1, Mid: true}, "http", decode.Limits{}, g.event, func(decode.Note) {})
		for _, st := range steps[from:] {
			c.Data(st.Dir, st.At, st.Data)
		}
		whole := 0
		for id, got := range g.all {
			if int(id/2) >= len(want) {
				t.Fatalf("from frame %d: stream %d", from, id)
			}
			w := want[id/2]
			if got.status != 0 && got.status != w.status || got.path != "" && got.path != w.path || got.field != "" && got.field != w.field {
				t.Fatalf("from frame %d: stream %d: got\n%+v, want\n%+v", from, id, *got, w)
			}
			if !strings.HasSuffix(w.response, got.response) || !strings.HasSuffix(w.request, got.request) {
				t.Fatalf("from frame %d: stream %d: got\n%+v, want\n%+v", from, id, *got, w)
			}
			if got.response == w.response && got.request == w.request {
				whole++
			}
		}
		if whole < later[from] {
			t.Errorf("from frame %d of %d: %d whole exchanges, want %d", from, len(steps), whole, later[from])
		}
	}
}
