package pair_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

var epoch = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// A tape gives exchanges to a Pairer and writes down what it says.
type tape struct {
	p     pair.Pairer
	frame int
	log   []string
	begun map[*pair.Call]bool
	ended map[*pair.Call]bool
}

func newTape(t *testing.T, lim decode.Limits) *tape {
	tp := &tape{begun: map[*pair.Call]bool{}, ended: map[*pair.Call]bool{}}
	tp.p = pair.Pairer{
		Limits: lim,
		Begin: func(c *pair.Call) {
			if tp.begun[c] || c.Outcome != pair.Open {
				t.Errorf("%s begun twice, or decided already", c.Method)
			}
			tp.begun[c] = true
		},
		End: func(c *pair.Call) {
			if !tp.begun[c] || tp.ended[c] || c.Outcome == pair.Open {
				t.Errorf("%s ended before it began, twice, or while open", c.Method)
			}
			tp.ended[c] = true
			tp.log = append(tp.log, describe(c))
		},
		Note: func(n decode.Note) { tp.log = append(tp.log, n.Code) },
	}
	return tp
}

// describe is a call in words: "tools/list 7 answered 8 at 3".
func describe(c *pair.Call) string {
	s := c.Method
	if c.Request != nil {
		s += " " + c.Request.ID
	}
	s += " " + c.Outcome.String()
	switch {
	case c.Answer != nil:
		s += " " + c.Answer.ID
	case c.Outcome == pair.Unanswered:
		s += " " + c.How.String()
	case c.Status() != 0:
		s += fmt.Sprint(" ", c.Status())
	}
	if c.Session != "" {
		s += " in " + c.Session
	}
	return s
}

func (t *tape) mark() decode.Mark {
	t.frame++
	return decode.Mark{Frame: t.frame, Time: epoch.Add(time.Duration(t.frame) * time.Millisecond)}
}

// exchange is one on the connection that begins with frame flow.
func exchange(flow int, kind mcp.Kind, session string) mcp.Exchange {
	f := decode.Flow{First: flow, Client: netip.AddrPortFrom(netip.MustParseAddr("10.0.0.5"), uint16(flow)), Server: netip.MustParseAddrPort("10.0.1.1:4000")}
	method := "POST"
	if kind == mcp.Stream {
		method = "GET"
	}
	return mcp.Exchange{ID: httpmsg.ID{Flow: flow}, Flow: f, Kind: kind, Method: method, Session: session}
}

func request(id, method string) mcp.Message {
	return mcp.Message{Kind: mcp.Request, ID: id, Method: method}
}

func result(id string) mcp.Message { return mcp.Message{Kind: mcp.Result, ID: id, Count: -1} }

// ask gives the request, tell a phase of the response.
func (t *tape) ask(x mcp.Exchange, requests ...mcp.Message) *mcp.Exchange {
	x.Phase, x.Asked, x.Requests = mcp.Asked, t.mark(), requests
	t.p.Exchange(x.Asked, &x)
	return &x
}

func (t *tape) tell(x *mcp.Exchange, phase mcp.Phase, status int, answers ...mcp.Message) {
	t.end(x, phase, func(y *mcp.Exchange) {
		y.Status, y.Answers = status, answers
		if phase == mcp.Closed {
			y.How, y.Answer.Whole = decode.Fin, true
		}
	})
}

func (t *tape) end(x *mcp.Exchange, phase mcp.Phase, how func(*mcp.Exchange)) {
	y := *x
	y.Phase = phase
	at := t.mark()
	how(&y)
	for i := range y.Answers {
		y.Answers[i].At = at
	}
	t.p.Exchange(at, &y)
}

// check compares what was said with want, a line each.
func (t *tape) check(tt *testing.T, want ...string) {
	tt.Helper()
	if got := strings.Join(t.log, "\n"); got != strings.Join(want, "\n") {
		tt.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
	t.log = nil
}

func TestByExchangeThenID(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	// The same id on two connections at once: the exchange tells them apart.
	a := tp.ask(exchange(1, mcp.RPC, ""), request("7", "tools/list"))
	b := tp.ask(exchange(2, mcp.RPC, ""), request("7", "tools/call"))
	tp.tell(b, mcp.Closed, 200, result("7"))
	tp.tell(a, mcp.Closed, 200, result("7"))
	tp.check(t, "tools/call 7 answered 7", "tools/list 7 answered 7")
	// An answer with an id of its own, or none: it is the only one there.
	for _, id := range []string{`"7"`, "null", "", "8"} {
		x := tp.ask(exchange(3, mcp.RPC, ""), request("7", "tools/list"))
		tp.tell(x, mcp.Closed, 200, result(id))
		tp.check(t, "tools/list 7 answered "+id)
	}
}

func TestBatch(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := tp.ask(exchange(1, mcp.RPC, ""), request("1", "tools/list"), request(`"1"`, "ping"), mcp.Message{Kind: mcp.Notification, Method: "n"})
	tp.tell(x, mcp.Told, 200, result(`"1"`))
	tp.check(t, `ping "1" answered "1"`)
	tp.tell(x, mcp.Closed, 200, mcp.Message{Kind: mcp.Error, ID: "1"})
	tp.check(t, "tools/list 1 answered 1")
	// With two of them open, an id that fits neither answers neither.
	x = tp.ask(exchange(2, mcp.RPC, ""), request("1", "tools/list"), request("2", "ping"))
	tp.tell(x, mcp.Closed, 200, result("3"))
	tp.check(t, "tools/list 1 refused 200", "ping 2 refused 200")
}

func TestServerMessagesAnswerNothing(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := tp.ask(exchange(1, mcp.RPC, ""), request("1", "tools/list"))
	tp.tell(x, mcp.Told, 200, request("1", "sampling/createMessage"), mcp.Message{Kind: mcp.Notification, Method: "notifications/progress"})
	tp.check(t)
	tp.tell(x, mcp.Told, 200, result("1"))
	tp.check(t, "tools/list 1 answered 1")
	tp.tell(x, mcp.Told, 200, result("1")) // said twice
	tp.tell(x, mcp.Closed, 200)
	tp.check(t)
}

func TestRefused(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	for _, kind := range []mcp.Kind{mcp.RESTList, mcp.RESTCall, mcp.RESTTest, mcp.Health, mcp.LLM, mcp.Stream, mcp.Token} {
		x := tp.ask(exchange(1, kind, ""))
		tp.tell(x, mcp.Closed, 401)
	}
	tp.check(t, "tools/list refused 401", "tools/call refused 401", "test refused 401", "health refused 401", "llm refused 401", "GET refused 401", "token refused 401")
	for _, kind := range []mcp.Kind{mcp.Other, mcp.End, mcp.Inventory, mcp.Discovery, mcp.Preflight} {
		x := tp.ask(exchange(1, kind, ""))
		tp.tell(x, mcp.Closed, 401)
	}
	tp.check(t)
	for _, kind := range []mcp.Kind{mcp.RESTList, mcp.LLM} {
		x := tp.ask(exchange(1, kind, ""))
		tp.end(x, mcp.Closed, func(y *mcp.Exchange) { y.Status, y.REST = 200, &mcp.REST{} })
	}
	tp.check(t, "tools/list answered 200", "llm answered 200")
}

func TestHowItEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		how  func(*mcp.Exchange)
		want string
	}{
		{"a page", func(y *mcp.Exchange) {
			y.Status, y.How, y.Answer = 200, decode.Fin, mcp.BodyState{Whole: true, HTML: true, Unkept: true}
		}, "tools/list 7 refused 200"},
		{"half a page", func(y *mcp.Exchange) {
			y.Status, y.How, y.Answer = 200, decode.Fin, mcp.BodyState{HTML: true, Unkept: true}
		}, "tools/list 7 unseen 200"},
		{"a hole", func(y *mcp.Exchange) { y.Status, y.How, y.Hole = 200, decode.Fin, true }, "tools/list 7 unseen 200"},
		{"a hole before the status", func(y *mcp.Exchange) { y.How, y.Hole = decode.Fin, true }, "tools/list 7 unseen"},
		{"evicted", func(y *mcp.Exchange) { y.Status, y.How = 200, decode.Evicted }, "tools/list 7 unseen 200"},
		{"a body too large to keep", func(y *mcp.Exchange) {
			y.Status, y.How, y.Answer = 200, decode.Fin, mcp.BodyState{Whole: true, Unkept: true}
		}, "tools/list 7 unseen 200"},
		{"what the client has in its cache", func(y *mcp.Exchange) { y.Status, y.How = 304, decode.Fin }, "tools/list 7 unseen 304"},
		{"a HAR without the body", func(y *mcp.Exchange) { y.Status, y.How, y.Answer = 200, decode.Fin, mcp.BodyState{Absent: true} }, "tools/list 7 unseen 200"},
		{"reset", func(y *mcp.Exchange) { y.How = decode.Reset }, "tools/list 7 unanswered reset"},
		{"closed before the status", func(y *mcp.Exchange) { y.How = decode.Fin }, "tools/list 7 unanswered fin"},
		{"the capture ends", func(y *mcp.Exchange) { y.Status, y.How = 200, decode.Cut }, "tools/list 7 unanswered cut"},
	} {
		tp := newTape(t, decode.Limits{})
		x := tp.ask(exchange(1, mcp.RPC, ""), request("7", "tools/list"))
		tp.end(x, mcp.Closed, c.how)
		if got := strings.Join(tp.log, "; "); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// The request's body was not seen: the method stands in a field, or nowhere.
func TestUnseenRequest(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := exchange(1, mcp.RPC, "")
	x.Headers = map[string]string{"mcp-method": "tools/list"}
	tp.tell(tp.ask(x), mcp.Closed, 200, result("9"))
	tp.tell(tp.ask(exchange(2, mcp.RPC, "")), mcp.Closed, 200, result("9"))
	tp.check(t, "tools/list answered 9", " answered 9")
}

func TestAnswerOnAnotherConnection(t *testing.T) {
	for _, session := range []string{"s", ""} {
		tail := ""
		if session != "" {
			tail = " in s"
		}
		tp := newTape(t, decode.Limits{})
		stream := tp.ask(exchange(9, mcp.Stream, session))
		x := tp.ask(exchange(1, mcp.RPC, session), request("1", "tools/list"))
		tp.tell(x, mcp.Closed, 202)
		tp.check(t)
		tp.tell(stream, mcp.Told, 200, result("2"), result("null"), result("1"))
		tp.check(t, "tools/list 1 answered 1"+tail)
		// It may come before the 202, or be an error.
		x = tp.ask(exchange(2, mcp.RPC, session), request("2", "tools/call"))
		tp.tell(stream, mcp.Told, 200, mcp.Message{Kind: mcp.Error, ID: "2"})
		tp.tell(x, mcp.Closed, 202)
		tp.check(t, "tools/call 2 answered 2"+tail)
	}
}

// Streams and ids of others answer nothing.
func TestAnswersOfOthers(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := tp.ask(exchange(1, mcp.RPC, "mine"), request("1", "tools/list"))
	tp.tell(x, mcp.Closed, 202)
	other := exchange(9, mcp.Stream, "theirs")
	other.Flow.Client = netip.MustParseAddrPort("10.0.0.9:9")
	tp.tell(tp.ask(other), mcp.Told, 200, result("1"))
	server := exchange(10, mcp.Stream, "mine")
	server.Flow.Server = netip.MustParseAddrPort("10.0.1.2:4000")
	tp.tell(tp.ask(server), mcp.Told, 200, result("1"))
	post := tp.ask(exchange(11, mcp.RPC, "mine"), request("5", "ping"), request("6", "ping"))
	tp.tell(post, mcp.Told, 200, result("1")) // a POST answers its own requests
	lost := exchange(12, mcp.Stream, "mine")
	lost.Method = "" // its request was not seen
	tp.tell(tp.ask(lost), mcp.Told, 200, result("1"))
	tp.check(t)
}

// A stream that ends with event ids may be resumed, on another connection.
func TestResumedStream(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := tp.ask(exchange(1, mcp.RPC, "s"), request("1", "tools/list"))
	tp.tell(x, mcp.Told, 200, mcp.Message{Kind: mcp.Notification, EventID: "e1"})
	tp.tell(x, mcp.Closed, 200)
	tp.check(t)
	tp.tell(tp.ask(exchange(2, mcp.Stream, "s")), mcp.Told, 200, result("1"))
	tp.check(t, "tools/list 1 answered 1 in s")
	// Not across a hole: the answer may have stood in it.
	x = tp.ask(exchange(3, mcp.RPC, "s"), request("1", "tools/list"))
	tp.tell(x, mcp.Told, 200, mcp.Message{Kind: mcp.Notification, EventID: "e1"})
	tp.end(x, mcp.Closed, func(y *mcp.Exchange) { y.Status, y.How, y.Hole = 200, decode.Fin, true })
	tp.check(t, "tools/list 1 unseen 200 in s")
}

func TestSessionOfTheResponse(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := tp.ask(exchange(1, mcp.RPC, ""), request("0", "initialize"))
	tp.end(x, mcp.Closed, func(y *mcp.Exchange) {
		y.Status, y.Session, y.Answers = 200, "new", []mcp.Message{result("0")}
	})
	tp.check(t, "initialize 0 answered 0 in new")
}

func TestWindow(t *testing.T) {
	tp := newTape(t, decode.Limits{Window: time.Minute})
	for i := range 3 {
		x := tp.ask(exchange(i+1, mcp.RPC, "s"), request(fmt.Sprint(i), "tools/list"))
		tp.tell(x, mcp.Closed, 202)
	}
	tp.p.Tick(epoch.Add(time.Minute))
	tp.check(t)
	tp.p.Tick(epoch.Add(time.Minute + 4*time.Millisecond))
	tp.check(t, "tools/list 0 unanswered timeout in s", "tools/list 1 unanswered timeout in s")
}

func TestClose(t *testing.T) {
	tp := newTape(t, decode.Limits{})
	x := tp.ask(exchange(1, mcp.RPC, "s"), request("1", "tools/list"))
	tp.tell(x, mcp.Closed, 202)
	tp.ask(exchange(2, mcp.RPC, ""), request("2", "tools/call"), request("3", "ping"))
	tp.ask(exchange(3, mcp.LLM, ""))
	tp.p.Close(tp.mark())
	tp.check(t, "tools/list 1 unanswered cut in s", "tools/call 2 unanswered cut", "ping 3 unanswered cut", "llm unanswered cut")
	tp.p.Close(tp.mark())
	tp.check(t)
}

// Beyond the bound the oldest are given up, and only those.
func TestBound(t *testing.T) {
	tp := newTape(t, decode.Limits{OpenCalls: 3})
	parked := tp.ask(exchange(1, mcp.RPC, "s"), request("1", "tools/list"))
	tp.tell(parked, mcp.Closed, 202)
	var open []*mcp.Exchange
	for i := 2; i <= 6; i++ {
		open = append(open, tp.ask(exchange(i, mcp.RPC, ""), request(fmt.Sprint(i), "tools/list")))
	}
	tp.check(t, "limit/open-calls", "tools/list 1 unseen in s", "limit/open-calls", "tools/list 2 unseen", "limit/open-calls", "tools/list 3 unseen")
	for _, x := range open {
		tp.tell(x, mcp.Closed, 200, result(x.Requests[0].ID))
	}
	tp.check(t, "tools/list 4 answered 4", "tools/list 5 answered 5", "tools/list 6 answered 6")
	tp.p.Close(tp.mark())
	tp.check(t)
}

// Every call ends once, whatever comes; nothing is kept of it afterwards.
func FuzzEachCallEndsOnce(f *testing.F) {
	f.Add([]byte{0, 0, 4, 0, 8, 0, 12, 0})
	f.Add([]byte{0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 200, 201, 16, 33})
	f.Fuzz(func(t *testing.T, ops []byte) {
		tp := newTape(t, decode.Limits{OpenCalls: 5, Window: 20 * time.Millisecond})
		live := map[int]*mcp.Exchange{}
		for _, op := range ops {
			flow, id := int(op%4)+1, fmt.Sprint(op/16%3)
			x := live[flow]
			switch kind := op / 4 % 6; {
			case x == nil:
				kinds := []mcp.Kind{mcp.RPC, mcp.Stream, mcp.RPC, mcp.RESTList}
				live[flow] = tp.ask(exchange(flow, kinds[op/64], []string{"", "s"}[op%2]), request(id, "tools/list"), request("9", "ping"))
			case kind == 0:
				tp.tell(x, mcp.Told, 200, result(id))
			case kind == 1:
				tp.tell(x, mcp.Told, 200, mcp.Message{Kind: mcp.Notification, EventID: "e"})
			case kind == 5:
				tp.p.Tick(tp.mark().Time)
			default:
				delete(live, flow)
				tp.tell(x, mcp.Closed, []int{200, 202, 401}[kind-2], result(id))
			}
		}
		tp.p.Close(tp.mark())
		if len(tp.begun) != len(tp.ended) {
			t.Errorf("%d calls began and %d ended", len(tp.begun), len(tp.ended))
		}
	})
}
