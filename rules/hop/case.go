package hop

import (
	"net/netip"

	"mcp401/decode"
	"mcp401/decode/mcp"
	"mcp401/rules/pair"
)

// A Kind says what a downstream call asked for.
type Kind string

// The kinds of cases.
const (
	List     Kind = "list" // a tools list on any route
	ToolCall Kind = "call" // a tool call on any route
	LLM      Kind = "llm"  // a model call with MCP tools
)

// A Confidence says how sure the join of the two hops is.
type Confidence string

// The confidences, weakest first.
const (
	None      Confidence = ""          // nothing upstream is claimed
	Suspected Confidence = "suspected" // no upstream side
	Likely    Confidence = "likely"    // best assignment among several
	Linked    Confidence = "linked"    // same credential, or the only candidate and the route agrees
	Proved    Confidence = "proved"    // the gateway's own _meta or debug headers say so
)

// An Outcome is how an upstream attempt went, in the words of the report:
// "ok", "empty", "401", "403", a failure, or "unseen".
type Outcome string

// The outcomes of an attempt. A failure is none of OK, Empty, Unseen and Pending.
const (
	OK        Outcome = "ok"    // tools came, or the call had its result
	Empty     Outcome = "empty" // the upstream's own list is empty
	Status401 Outcome = "401"
	Status403 Outcome = "403"
	Refused   Outcome = "refused"
	ResetOut  Outcome = "reset"
	Timeout   Outcome = "timeout"
	Server5xx Outcome = "5xx"
	Client4xx Outcome = "4xx"
	RPCError  Outcome = "rpc-error"
	LoginPage Outcome = "login-page"
	TLSError  Outcome = "tls"
	DNSError  Outcome = "dns"
	BadAnswer Outcome = "bad-answer"
	Unseen    Outcome = "unseen"  // a hole or missing keys hide it
	Pending   Outcome = "pending" // a session that asked for no list, or had no time to
)

// Failed reports whether the outcome is a failure that was seen.
func (o Outcome) Failed() bool {
	switch o {
	case OK, Empty, Unseen, Pending, "":
		return false
	}
	return true
}

// Auth reports whether the outcome is a refusal for want of authority.
func (o Outcome) Auth() bool { return o == Status401 || o == Status403 }

// An Attempt is one upstream session or connection attempt and how it went.
type Attempt struct {
	Server     string         // the gateway's name for the upstream; "" when unknown
	Address    netip.AddrPort // where it went
	URL        string         // scheme, authority and path, redacted
	First      decode.Mark    // its first request, or the SYN of a connection that carried none
	Outcome    Outcome
	Decisive   *pair.Call      // the call that decided the outcome; nil for a connection that carried none
	Calls      []*pair.Call    // all of the session, in order
	Tools      []string        // names, when a list was seen
	Count      int             // length of that list; -1: none was seen
	Cred       *mcp.Credential // what it authorised itself with; nil: nothing
	Challenge  *mcp.Challenge
	Last       decode.Mark // when its outcome was known
	Confidence Confidence  // of its belonging to the case
	Token      *pair.Call  // a failed request to a token endpoint that came before it, or instead of it
	Redirect   *pair.Call  // the redirect that led here, if any
}

// A Case is one downstream call and every upstream attempt it caused.
type Case struct {
	Call         *pair.Call
	Kind         Kind
	Gateway      netip.AddrPort
	Profile      string        // the gateway product, when recognised: "litellm", ...
	Version      string        // of the gateway, when it shows
	Servers      []string      // server names in scope by the route or a header; empty: all, or unknown
	Tools        []string      // names the client got
	Count        int           // how many; -1: the answer was no list
	Attempts     []*Attempt    // in order of time
	Outcomes     []mcp.Outcome // the gateway's own word on each server
	Model        *mcp.Exchange // LLM: the request the gateway sent to the model
	Confidence   Confidence
	SeesUpstream bool            // the capture shows this gateway's upstream side in clear
	Opaque       int             // connections from the gateway in the window that could not be read (TLS without keys, holes)
	Shape        Shape           // what the sizes on those connections agree with, where they are all of one server
	DarkName     string          // the server name that they asked for, where it is one
	Holes        int             // connections and exchanges of the gateway's upstream side in the window that are not whole in the capture
	Hidden       bool            // a hole, a loss or a limit falls into the window: what is not seen proves nothing
	Doubt        bool            // nobody knows yet whose the attempts are: some went well, and others failed
	HAR          bool            // one side's view
	Via          string          // the page or tool that asked, where it shows: AdminPage, Inspector
	Target       string          // Inspector: the URL that it meant, redacted; it is asked by the Inspector's own proxy
	NoAuth       bool            // HAR: credentials were removed from the file, absence proves nothing
	GatewayKeys  map[string]bool // hashes of the gateway's own keys, as clients sent them
	Names        []string        // server names known to this gateway
}
