package mcp

import (
	"net/netip"
	"time"

	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A Phase says what an Exchange has become. An exchange is emitted once in
// each phase that it reaches, as a new value each time; emitted values never
// change.
type Phase uint8

// The phases, in order.
const (
	Asked  Phase = iota + 1 // the request is whole (or as whole as it will be)
	Told                    // one or more messages came on a response that goes on (an SSE stream); Answers holds the new ones only
	Closed                  // the response is over, or will never come; Answers holds those not told before
)

// A Kind says what an HTTP exchange is about, told from its shape alone: the
// request target, media types and bodies. Which gateway's route it is, the
// profiles of rules/hop decide.
type Kind uint8

// The kinds.
const (
	Other     Kind = iota // HTTP without a meaning here; emitted, because a refusal or a login page may be one
	RPC                   // JSON-RPC over POST: MCP streamable HTTP or the POST half of HTTP+SSE
	Stream                // GET that asks for text/event-stream: the standing stream, or the HTTP+SSE transport
	End                   // DELETE of a session
	RESTList              // GET of a REST tools list ("/mcp-rest/tools/list", "/v1/mcp/tools")
	RESTCall              // POST of a REST tool call ("/mcp-rest/tools/call")
	RESTTest              // POST of a connection test ("/mcp-rest/test/...")
	Inventory             // GET of the gateway's list of servers ("/v1/mcp/server")
	Health                // GET of the gateway's health view of servers
	LLM                   // a model call: /responses, /chat/completions, /messages (with or without MCP tools)
	Token                 // OAuth token endpoint
	Discovery             // /.well-known/ and dynamic client registration
	Preflight             // CORS OPTIONS
)

// An Exchange is one HTTP request and its response with their meaning. Strings
// are copies. No secret is in it: credentials are keyed hashes, and targets
// are redacted.
type Exchange struct {
	ID    httpmsg.ID
	Flow  decode.Flow
	Phase Phase
	Kind  Kind
	TLS   bool // decrypted TLS
	HAR   bool // from a HAR entry: one side's view

	Asked    decode.Mark // first byte of the request
	AskedEnd decode.Mark // last byte of the request that was seen

	Method    string
	Path      string // without the query
	Query     string // redacted: values only of parameters that are known to be harmless (server_id, mcp_server_name, transportType, ...)
	Authority string // Host or :authority
	Scheme    string
	Proto     string // "1.0", "1.1", "2"
	UserAgent string
	Accept    string

	// Request fields that rules need.
	Session    string            // keyed hash of mcp-session-id or of the session in the query; of the request, or else of the response
	Version    string            // mcp-protocol-version
	LastEvent  string            // keyed hash of last-event-id
	Servers    []string          // x-mcp-servers
	ServerID   string            // query or body server_id; LLM: empty
	Headers    map[string]string // the few other fields a profile needs, lower-case names: see headersKept
	Trace      string            // keyed hash of the trace id of traceparent or _meta.traceparent
	Parent     TraceParent       // the same as sent
	Creds      []Credential      // every credential of the request
	Body       BodyState
	Requests   []Message // JSON-RPC requests and notifications of the body
	ClientName string    // initialize: clientInfo.name
	LLMTools   LLMTools  // Kind LLM
	Grant      string    // Kind Token: grant_type
	TestURL    string    // Kind RESTTest: origin and path of the server definition's url

	// The response. Status 0: none was seen, or it could not be read.
	Status      int
	Head        decode.Mark // last byte of the response head
	Ended       decode.Mark // last byte of the response
	ContentType string      // essence, lower case
	Location    string      // redacted: origin and path
	Challenges  []Challenge
	RespHeaders map[string]string // as Headers
	Answers     []Message         // JSON-RPC responses, and server requests and notifications, in order
	REST        *REST             // what a REST list, call, test, inventory or LLM answer said
	Answer      BodyState
	How         decode.End // Closed: what ended it; Fin: whole
	Hole        bool       // bytes of the exchange are missing in the capture: nothing may be concluded from what is not seen
	Aborted     bool       // the client went away before the answer was over
	Error       string     // HAR: why there is no response
}

// A TraceParent is the span of the client's own that caused the request (W3C
// Trace Context, section 3.2): for those who keep these spans, and no secret.
// Zero: none was sent, or it is not valid.
type TraceParent struct {
	Trace [16]byte
	Span  [8]byte
	Flags byte
}

// A BodyState says how much of a body is known.
type BodyState struct {
	Size    int  // bytes seen, content coding not undone
	Whole   bool // all of it was seen
	Unkept  bool // it passed Limits.Body, was of no interest, or its coding could not be undone: Requests and Answers may lack messages
	Absent  bool // HAR: not recorded
	HTML    bool // it begins as an HTML document
	JSON    bool // it is one valid JSON value
	AuthErr bool // JSON with an OAuth error member (invalid_token, insufficient_scope, ...), or an error text that speaks of authorization
}

// A MessageKind says which JSON-RPC message a Message is.
type MessageKind uint8

// The kinds of messages.
const (
	Request MessageKind = iota + 1
	Notification
	Result
	Error
)

// A Message is one JSON-RPC message.
type Message struct {
	Kind    MessageKind
	At      decode.Mark // its last byte; for an SSE event the byte that dispatched it
	ID      string      // raw JSON text ("7" and "\"7\"" differ); "" for none, "null"
	Method  string      // of a request or notification
	Tool    string      // tools/call: params.name
	Cursor  bool        // tools/list with a cursor
	EventID string      // keyed hash of the SSE event's id

	Tools      []string  // result.tools[].name, at most Limits.Tools
	Count      int       // length of result.tools; -1: the result has none
	Next       bool      // result.nextCursor is there
	IsError    bool      // result.isError
	Text       string    // first text of an isError result or error.message: redacted and cut to 200 bytes
	Code       int       // error.code
	AuthText   bool      // Text speaks of authorization (401, 403, unauthorized, token expired, ...)
	ServerName string    // initialize: serverInfo.name
	ServerVer  string    // initialize: serverInfo.version
	Outcomes   []Outcome // _meta["litellm.ai/server_outcomes"] of a result or of error.data
}

// An Outcome is the gateway's own word on one server of a list.
type Outcome struct {
	Server string
	Status string // ok, auth_required, forbidden, timeout, unreachable, upstream_error, internal
	HTTP   int    // http_status, or 0
	Count  int    // tool_count, or -1
}

// REST is what an answer outside JSON-RPC said.
type REST struct {
	Tools    []string // names
	Servers  []string // mcp_info.server_name of each tool, where given; as long as Tools or nil
	Count    int      // length of "tools"; -1: there is none
	Error    string   // "error" as a code: server_not_found, partial_failure, unexpected_error, ...
	Message  string   // redacted, at most 200 bytes
	IsError  bool     // RESTCall: the MCP result's isError; RESTTest: status "error"
	Listing  []Server // Inventory
	MCPTools int      // LLM answer: tools that the gateway said it fetched (mcp_list_tools, mcp_tools_fetched); -1: nothing said
	AuthText bool     // Message or a detail speaks of authorization
}

// A Server is one entry of the gateway's list of servers.
type Server struct{ ID, Name, Alias, URL, Transport, AuthType string }

// LLMTools says what tools a model call was given.
type LLMTools struct {
	MCP     bool     // tools entries of type "mcp" (or mcp_servers): the caller asks the gateway for MCP tools
	Servers []string // server names in server_url "litellm_proxy/mcp/<name>[,<name>]"
	All     bool     // an entry names no server: every server in scope
	Count   int      // tools of any other type: what a model itself receives
	Stream  bool
	Model   string
}

// A Credential is what a header field proves who you are with, without the
// secret.
type Credential struct {
	Header string // lower case: authorization, x-litellm-api-key, x-mcp-github-authorization, x-api-key, cookie, ...
	Scheme string // lower case: bearer, basic, token, digest, ...; "" for none
	Hash   string // 8 hex digits: keyed hash of the token without its scheme, equal in equal tokens of one run
	Whole  string // the same of the whole field value
	Len    int    // bytes of the token
	Class  string // "jwt", "jwe", "opaque", or a public prefix: "sk-", "gho_", ...
	Flaws  Flaw
	JWT    *JWT
}

// A Flaw is a set of what is wrong with the shape of a credential.
type Flaw uint8

// The flaws.
const (
	Doubled   Flaw = 1 << iota // "Bearer Bearer ..."
	NoScheme                   // authorization without a scheme
	EmptyTok                   // nothing behind the scheme
	NonASCII                   // bytes outside 0x21-0x7e
	Quoted                     // wrapped in quotes
	Templated                  // an unexpanded placeholder: ${TOKEN}, {{token}}, os.environ/..., <token>
)

// JWT is the claims that say why a token may be refused, all unverified
// (RFC 7519 section 4.1).
type JWT struct {
	Exp, Nbf, Iat time.Time // zero: absent
	Aud           []string  // at most 8
	Iss           string
	Scope         string
	Typ           string // header typ
}

// A Challenge is one challenge of a WWW-Authenticate field (RFC 9110 section
// 11.6.1).
type Challenge struct {
	Scheme           string
	Realm            string
	Error            string
	ErrorDescription string // redacted
	ResourceMetadata string
	Scope            string
	Other            []string // names of other parameters
}

// Server is the address of the side that was asked.
func (x *Exchange) Server() netip.AddrPort { return x.Flow.Server }
