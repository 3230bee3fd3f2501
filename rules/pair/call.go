// Package pair turns exchanges into calls: a request and its answer, wherever
// the answer came.
//
// It pairs by HTTP exchange first and by JSON-RPC id second, keeps the two id
// spaces of a session apart, follows the HTTP+SSE transport (the answer stands
// on another connection), resumed streams and batches. It never guesses across
// a hole: such a call is Unseen.
package pair

import (
	"time"

	"mcp401/decode"
	"mcp401/decode/mcp"
)

// An Outcome says what became of a call.
type Outcome uint8

// The outcomes.
const (
	Open       Outcome = iota // asked, nothing decided yet
	Answered                  // a JSON-RPC result or error, a REST or an LLM answer
	Refused                   // an HTTP status without an answer in it: 401, 403, 5xx, a redirect, a page
	Unanswered                // the connection or the capture ended, or the wait was too long
	Unseen                    // a hole in the capture hides it: never an accusation
)

func (o Outcome) String() string {
	return [...]string{"open", "answered", "refused", "unanswered", "unseen"}[o]
}

// A Call is one JSON-RPC request (or REST list, REST call or LLM call) and its
// answer. A standing GET that is refused is a Call too, with the method "GET".
type Call struct {
	Asked    *mcp.Exchange // the request; its answer fields are as of Asked
	Request  *mcp.Message  // nil outside JSON-RPC
	Method   string        // "tools/list", "initialize", ...; for REST and LLM kinds "tools/list", "tools/call", "llm"; "GET" for a stream
	Outcome  Outcome
	How      decode.End    // Unanswered: what ended it
	Exchange *mcp.Exchange // the exchange that carried the answer, nil while there is none
	Answer   *mcp.Message  // Answered over JSON-RPC
	At       decode.Mark   // of the answer, or of the end
	Session  string        // keyed hash of the session, of the request or else of the response that made it

	parked bool // its answer may come on another connection
}

// Status is the HTTP status that the call got, 0 while there is none.
func (c *Call) Status() int {
	if c.Exchange == nil {
		return 0
	}
	return c.Exchange.Status
}

// Start is when the request began.
func (c *Call) Start() time.Time { return c.Asked.Asked.Time }
