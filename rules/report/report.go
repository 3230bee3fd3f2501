// Package report says what was found: the shapes of its JSON, and every other
// format as a view of them.
//
// It judges nothing and knows no packet: view.go turns a judged case into the
// shapes, and from there on a report is a stream of Objects. The one trick:
// a format sees nothing but those objects, so what `mcp401 report` makes of
// saved JSON is what `mcp401 analyze` prints.
package report

// Schema is the version of the JSON shapes.
const Schema = "1"

// An Object is one thing that a report consists of. Exactly one field is set;
// the field's name is the one key of a jsonl line.
type Object struct {
	Run      *Run      `json:"run,omitempty"`
	Case     *Case     `json:"case,omitempty"`
	Finding  *Finding  `json:"finding,omitempty"`
	Note     *Note     `json:"note,omitempty"`
	Summary  *Summary  `json:"summary,omitempty"`
	Exchange *Exchange `json:"exchange,omitempty"` // of `mcp401 show` only
	Message  *Message  `json:"message,omitempty"`  // of `mcp401 show --all` only
	Change   *Change   `json:"change,omitempty"`   // of `mcp401 diff` only
	Compared *Compared `json:"compared,omitempty"` // of `mcp401 diff` only, in place of a summary
}

// A Writer writes one report. Objects come in order: Run first, then each Case
// with its Finding right behind it, then Notes, Summary last. A Writer keeps
// nothing of an object that it is not told that it may keep.
type Writer interface {
	Write(Object) error
	Close() error // finishes the document; does not close what it writes to
}

// A Run says what was analysed with what.
type Run struct {
	Schema  string  `json:"schema"`
	Tool    string  `json:"tool"`
	Version string  `json:"version"`
	Inputs  []Input `json:"inputs"`
}

// An Input is one file. In jsonl, where the run comes first, its Records is 0
// and the summary says how many there were.
type Input struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"` // "pcap", "pcapng", "har"; with "+gzip" or "+zstd"
	Records int    `json:"records"`
}

// A Case is one downstream call and its verdict.
type Case struct {
	Frame       int       `json:"frame"`
	Time        Time      `json:"time"`
	Client      string    `json:"client"`
	Gateway     string    `json:"gateway"`
	Kind        string    `json:"kind"`
	HTTPMethod  string    `json:"http_method"`
	Path        string    `json:"path"`
	Scheme      string    `json:"scheme,omitempty"`    // of the request: "https"; absent: "http"
	Authority   string    `json:"authority,omitempty"` // of the request, where it is not the gateway's address
	RPCMethod   *string   `json:"rpc_method"`
	RPCID       *string   `json:"rpc_id"` // raw JSON text: 7 and "7" differ
	Status      *int      `json:"status"`
	Tools       *int      `json:"tools"`
	HeadFrame   int       `json:"head_frame,omitempty"` // the response head, where it came before the answer
	HeadTime    Time      `json:"head_time,omitzero"`
	AnswerFrame *int      `json:"answer_frame"`
	AnswerTime  Time      `json:"answer_time"`
	Verdict     string    `json:"verdict"`
	Severity    string    `json:"severity"`
	Confidence  string    `json:"confidence"`
	Cause       string    `json:"cause"`
	Failure     string    `json:"failure"`
	Servers     []string  `json:"servers"` // in scope, by name
	Upstream    []Attempt `json:"upstream"`
}

// An Attempt is one upstream attempt of a case.
type Attempt struct {
	Frame       int        `json:"frame"`
	Time        Time       `json:"time"`
	Server      string     `json:"server"`
	Address     string     `json:"address"`
	URL         string     `json:"url"`
	HTTPMethod  *string    `json:"http_method"`
	RPCMethod   *string    `json:"rpc_method"`
	Status      *int       `json:"status"`
	AnswerFrame *int       `json:"answer_frame"`
	Tools       *int       `json:"tools"`
	Outcome     string     `json:"outcome"`
	Cause       string     `json:"cause"`
	Confidence  string     `json:"confidence"`
	Challenge   *Challenge `json:"challenge"`
	Credential  *string    `json:"credential"`
}

// A Challenge is what an upstream's WWW-Authenticate field said.
type Challenge struct {
	Scheme           string `json:"scheme"`
	Error            string `json:"error"`
	ErrorDescription string `json:"error_description"`
	ResourceMetadata string `json:"resource_metadata"`
	Scope            string `json:"scope,omitempty"`
}

// A Finding is a verdict above severity ok, with its evidence.
type Finding struct {
	Rule        string     `json:"rule"`
	Severity    string     `json:"severity"`
	Confidence  string     `json:"confidence"`
	Cause       string     `json:"cause"`
	Failure     string     `json:"failure"`
	Servers     []string   `json:"servers"` // at fault
	Text        string     `json:"text"`
	Fix         string     `json:"fix"`
	Verify      string     `json:"verify"`
	CaseFrame   int        `json:"case_frame"`
	Evidence    []Evidence `json:"evidence"`
	Fingerprint string     `json:"fingerprint"`     // equal in two runs for the same kind of finding at the same server and route
	Known       bool       `json:"known,omitempty"` // the baseline has it too: it does not count for the exit status
}

// Evidence is one place in the capture.
type Evidence struct {
	What    string `json:"what"`
	Frame   int    `json:"frame"`
	Time    Time   `json:"time"`
	Flow    string `json:"flow"`
	Excerpt string `json:"excerpt"`
}

// A Note counts what was damaged, unknown or beyond a bound.
type Note struct {
	Code  string `json:"code"`
	Frame int    `json:"frame"` // the first
	Count int    `json:"count"`
	Text  string `json:"text"`
	About string `json:"about,omitempty"` // the host name that it concerns
}

// A Summary closes a report.
type Summary struct {
	Records   int            `json:"records"`
	Flows     int            `json:"flows"`
	Exchanges int            `json:"exchanges"`
	Cases     int            `json:"cases"`
	ByVerdict map[string]int `json:"by_verdict"`
	Findings  int            `json:"findings"`
	Known     int            `json:"known,omitempty"`    // of the findings, those that the baseline has too
	Where     string         `json:"where,omitempty"`    // the condition that these calls were chosen by
	LeftOut   int            `json:"left_out,omitempty"` // calls that it left out: no other count has them
	Lost      Lost           `json:"lost"`
	Inputs    []Input        `json:"inputs"` // with the records of each
}

// Lost is what the capture does not show.
type Lost struct {
	CaptureDrops     uint64 `json:"capture_drops"`
	Gaps             int    `json:"gaps"`
	Bytes            int64  `json:"bytes"` // in the gaps whose length is known
	UndecryptedFlows int    `json:"undecrypted_flows"`
	Limits           int    `json:"limits"`
}

// An Exchange is one HTTP exchange with an MCP meaning, on either hop.
type Exchange struct {
	Frame       int        `json:"frame"`
	Time        Time       `json:"time"`
	Client      string     `json:"client"`
	Server      string     `json:"server"`
	Kind        string     `json:"kind"`
	HTTPMethod  string     `json:"http_method"`
	Path        string     `json:"path"`
	RPCMethod   *string    `json:"rpc_method"`
	RPCID       *string    `json:"rpc_id"`
	Tool        *string    `json:"tool"` // the tool called
	Status      *int       `json:"status"`
	AnswerFrame *int       `json:"answer_frame"`
	AnswerTime  Time       `json:"answer_time"`
	Tools       *int       `json:"tools"`
	Error       *string    `json:"error"`
	Challenge   *Challenge `json:"challenge"`
	Credentials []string   `json:"credentials"`
	Cut         bool       `json:"cut"` // the answer is not whole in the capture
}

// A Message is one HTTP message of any kind.
type Message struct {
	Frame    int     `json:"frame"`
	EndFrame int     `json:"end_frame"`
	Time     Time    `json:"time"`
	Src      string  `json:"src"`
	Dst      string  `json:"dst"`
	HTTP     string  `json:"http"`   // "1.0", "1.1", "2"
	Stream   *uint32 `json:"stream"` // of HTTP/2
	Kind     string  `json:"kind"`   // "request" or "response"
	Method   *string `json:"method"`
	URI      *string `json:"uri"` // the request target as sent, redacted
	Status   *int    `json:"status"`
	Cut      bool    `json:"cut"` // not whole in the capture
}
