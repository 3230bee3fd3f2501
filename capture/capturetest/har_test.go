package capturetest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A harFile is what the tests read of a HAR.
type harFile struct {
	Log struct {
		Version string
		Entries []struct {
			StartedDateTime time.Time
			Time            float64
			ServerIPAddress string
			Request         struct {
				Method, URL string
				QueryString []pair
				PostData    *struct{ Text string }
			}
			Response struct {
				Status  int
				Content struct {
					Size     int
					MimeType string
					Text     *string
				}
				Error string `json:"_error"`
			}
		}
	}
}

func readHAR(t *testing.T, b []byte) (h harFile) {
	t.Helper()
	if err := json.Unmarshal(unpack(t, b), &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// rows describes each entry in a line.
func rows(h harFile) string {
	var b strings.Builder
	for _, e := range h.Log.Entries {
		b.WriteString(e.StartedDateTime.Format(".000 ") + e.Request.Method + " " + e.Request.URL + " " + e.ServerIPAddress)
		if e.Request.PostData != nil {
			b.WriteString(" +" + e.Request.PostData.Text[:1])
		}
		b.WriteString(" " + time.Duration(e.Time*1e6).String())
		if raw, _ := json.Marshal(e.Response.Status); raw != nil {
			b.WriteString(" " + string(raw) + " " + e.Response.Content.MimeType)
		}
		if e.Response.Content.Text == nil {
			b.WriteString(" no text")
		} else {
			b.WriteString(" " + strings.TrimSpace(*e.Response.Content.Text))
		}
		b.WriteString(" " + e.Response.Error + "\n")
	}
	return b.String()
}

func TestHAR(t *testing.T) {
	script := `
> GET /mcp-rest/tools/list?server_id=x&a    => one
< 200 gzip
  {"tools":[]}
up> POST /mcp
  rpc tools/list 1
up< 200 sse
  {"x":1}
  ...
~ 1s
up<< : bye
up.2> GET /never
up.3> GET /lost
! lost
up.3< 200
! lost
up.4> GET /unseen
up.4< 200
up.5> GET /part
up.5< 200
  a
  ...
! gap 5
up.5<< b
up.6> GET /stays
  Host: example.com
up.6< 200
  a
  ...
down. close
down> GET /last                              => two
`
	c := MustParse(script)
	w := c.Wrap(Wrap{Format: HAR, Compress: Gzip})
	h := readHAR(t, w.Bytes)
	got := strings.ReplaceAll(rows(h), "\r", "")
	for _, want := range []string{
		".000 GET http://10.0.1.1:4000/mcp-rest/tools/list?server_id=x&a 10.0.1.1 1ms 200 application/json {\"tools\":[]} \n",
		".002 POST http://10.0.2.1:9101/mcp 10.0.2.1 +{ 1.002s 200 text/event-stream event: message\ndata: {\"x\":1}\n\n: bye \n",
		"/never 10.0.2.1 -1ms 0  no text net::ERR_EMPTY_RESPONSE\n",
		"/lost 10.0.2.1 -1ms 0  no text net::ERR_EMPTY_RESPONSE\n",
		"/part 10.0.2.1 3ms 200  no text \n",
		"GET http://example.com/stays 10.0.2.1 1ms 200  a net::ERR_ABORTED\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "unseen") {
		t.Error("an entry whose request was lost")
	}
	if d := cmp.Diff([]pair{{"server_id", "x"}, {"a", ""}}, h.Log.Entries[0].Request.QueryString); d != "" {
		t.Error(d)
	}
	if w.Expect[0].Frame != 1 || w.Expect[1].Frame != len(h.Log.Entries) {
		t.Errorf("%v", w.Expect)
	}
	if n := len(readHAR(t, c.Wrap(Wrap{Format: HAR, Hop: Down}).Bytes).Log.Entries); n != 2 {
		t.Errorf("%d entries on the client's side", n)
	}
	mixed := c.Wrap(Wrap{Format: HAR, Mix: true})
	for i, want := range []string{"/mcp-rest/tools/list", "/last"} {
		f := mixed.Expect[i].Frame
		if f == 0 || !strings.Contains(mixed.Records[f-1].Entry.URL, want) {
			t.Errorf("expectation %d has frame %d of %d", i, f, len(mixed.Records))
		}
	}
	if len(mixed.Records) <= len(w.Records) {
		t.Error("nothing was mixed in")
	}
}

func TestHAROfWholeConversation(t *testing.T) {
	w := MustParse(swallowed).Wrap(Wrap{Format: HAR})
	if n := len(w.Records); n != 4 {
		t.Fatalf("%d entries", n)
	}
	e := w.Records[1].Entry
	if e.Status != 401 || e.Took != time.Millisecond || string(e.Content.Data) != `{"error":"invalid_token"}` || valueOf(e.Response, "www-authenticate") == "" {
		t.Errorf("%+v", e)
	}
	if w.Expect[0].Frame != 1 || w.Expect[1].Frame != 4 {
		t.Errorf("%v", w.Expect)
	}
}
