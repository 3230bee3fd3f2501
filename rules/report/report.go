// Package report says what was found, in the shapes of JSON that every other
// format is a view of.
package report

import "time"

// Schema is the version of the JSON shapes.
const Schema = "1"

// An Object is one thing that a report consists of. Exactly one field is set;
// the field's name is the one key of a jsonl line.
type Object struct {
	Run     *Run     `json:"run,omitempty"`
	Case    *Case    `json:"case,omitempty"`
	Finding *Finding `json:"finding,omitempty"`
	Note    *Note    `json:"note,omitempty"`
	Summary *Summary `json:"summary,omitempty"`
}

// A Writer writes one report. Objects come in order: Run first, Summary last.
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

// An Input is one file. In jsonl, where the run comes first, Records is 0.
type Input struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"` // "pcap", "pcapng", "har"; with "+gzip" or "+zstd"
	Records int    `json:"records"`
}

// A Case is one downstream call and its verdict.
type Case struct {
	Frame       int        `json:"frame"`
	Time        time.Time  `json:"time"`
	Client      string     `json:"client"`
	Gateway     string     `json:"gateway"`
	Kind        string     `json:"kind"`
	HTTPMethod  string     `json:"http_method"`
	Path        string     `json:"path"`
	RPCMethod   *string    `json:"rpc_method"`
	RPCID       *string    `json:"rpc_id"`
	Status      *int       `json:"status"`
	Tools       *int       `json:"tools"`
	AnswerFrame *int       `json:"answer_frame"`
	AnswerTime  *time.Time `json:"answer_time"`
	Verdict     string     `json:"verdict"`
	Severity    string     `json:"severity"`
	Confidence  string     `json:"confidence"`
	Cause       string     `json:"cause"`
	Failure     string     `json:"failure"`
	Servers     []string   `json:"servers"` // in scope, by name
	Upstream    []Attempt  `json:"upstream"`
}

// An Attempt is one upstream attempt of a case.
type Attempt struct {
	Frame       int        `json:"frame"`
	Time        time.Time  `json:"time"`
	Server      string     `json:"server"`
	Address     string     `json:"address"`
	URL         string     `json:"url"`
	RPCMethod   *string    `json:"rpc_method"`
	Status      *int       `json:"status"`
	AnswerFrame *int       `json:"answer_frame"`
	Tools       *int       `json:"tools"`
	Outcome     string     `json:"outcome"`
	Cause       string     `json:"cause"`
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
	Fingerprint string     `json:"fingerprint"`
}

// Evidence is one place in the capture.
type Evidence struct {
	What    string    `json:"what"`
	Frame   int       `json:"frame"`
	Time    time.Time `json:"time"`
	Flow    string    `json:"flow"`
	Excerpt string    `json:"excerpt"`
}

// A Note counts what was damaged, unknown or beyond a bound.
type Note struct {
	Code  string `json:"code"`
	Frame int    `json:"frame"` // the first
	Count int    `json:"count"`
	Text  string `json:"text"`
}

// A Summary closes a report.
type Summary struct {
	Records   int            `json:"records"`
	Flows     int            `json:"flows"`
	Exchanges int            `json:"exchanges"`
	Cases     int            `json:"cases"`
	ByVerdict map[string]int `json:"by_verdict"`
	Findings  int            `json:"findings"`
	Lost      Lost           `json:"lost"`
}

// Lost is what the capture does not show.
type Lost struct {
	CaptureDrops     uint64 `json:"capture_drops"`
	Gaps             int    `json:"gaps"`
	Bytes            int64  `json:"bytes"`
	UndecryptedFlows int    `json:"undecrypted_flows"`
	Limits           int    `json:"limits"`
}
