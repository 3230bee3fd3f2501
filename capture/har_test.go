package capture_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
)

// harOf wraps entries as a HAR.
func harOf(entries ...string) string {
	return `{"log":{"version":"1.2","creator":{"name":"test"},"entries":[` + strings.Join(entries, ",") + `]}}`
}

// entryAt is a short entry at a time after start.
func entryAt(d time.Duration, url string) string {
	return fmt.Sprintf(`{"startedDateTime":%q,"request":{"method":"GET","url":%q},"response":{"status":200}}`,
		at(d).Format(time.RFC3339Nano), url)
}

func readEntries(t *testing.T, har string) ([]*capture.Entry, []capture.Warning) {
	t.Helper()
	f, err := capture.New("x.har", strings.NewReader(har))
	if err != nil {
		t.Fatal(err)
	}
	var list []*capture.Entry
	for {
		rec, err := f.Next()
		if err == io.EOF {
			return list, f.Warnings()
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, rec.Entry)
	}
}

// TestHAREntry: every member that is read, in an entry that has all.
func TestHAREntry(t *testing.T) {
	list, warnings := readEntries(t, harOf(`{
		"_resourceType": "fetch", "pageref": "page_1", "serverIPAddress": "[::1]", "connection": 4000, "unknown": [{"a": [1]}, null],
		"startedDateTime": "2026-11-23T08:00:01.5Z", "time": 12.25,
		"request": {"method": "POST", "url": "http:\/\/h\/mcp", "httpVersion": "http/2.0", "cookies": [{"name": "a", "value": "b"}],
			"headers": [{"name": ":path", "value": "/mcp"}, {"value": "\u00e4\"", "name": "X-Any", "comment": ""}, {"name": "X-Any", "value": 7}],
			"postData": {"mimeType": "application/json", "text": "{\"id\":1}"}},
		"response": {"status": 200, "statusText": "OK", "httpVersion": "h2", "headers": [{"name": "content-type", "value": "text/plain"}],
			"redirectURL": "http://h/", "_error": null,
			"content": {"encoding": "base64", "text": "aGVsbG8=", "size": 5, "mimeType": "text/plain"}},
		"timings": {"blocked": 1, "dns": -1, "connect": 2.5, "ssl": 2, "send": 0.5, "wait": 6, "receive": 2},
		"_eventSourceMessages": [{"time": 1795420800.25, "eventName": "message", "eventId": "7", "data": "{}"}, {"time": "2026-11-23T08:00:02Z", "eventName": "ping"}]
	}`))
	want := &capture.Entry{
		Creator: "test", Page: "page_1", Took: 12250 * time.Microsecond, Wait: 10 * time.Millisecond,
		Server: "::1", Connection: "4000", Method: "POST", URL: "http://h/mcp", Proto: "2",
		Request: []capture.Field{{":path", "/mcp"}, {"X-Any", "ä\""}, {"X-Any", "7"}},
		Body:    &capture.Body{Data: []byte(`{"id":1}`), MIME: "application/json"},
		Status:  200, Reason: "OK", Response: []capture.Field{{"content-type", "text/plain"}},
		Content: &capture.Body{Data: []byte("hello"), MIME: "text/plain"}, Size: 5, MIME: "text/plain", Redirect: "http://h/",
		Events: []capture.StreamEvent{
			{Time: at(250 * time.Millisecond), Name: "message", ID: "7", Data: "{}"},
			{Time: at(2 * time.Second), Name: "ping", DataWithdrawn: true},
		},
	}
	if len(list) != 1 || len(warnings) != 0 {
		t.Fatalf("%d entries, %v", len(list), warnings)
	}
	if d := cmp.Diff(want, list[0]); d != "" {
		t.Error(d)
	}
}

// TestHAROddMembers: what exporters write instead of what the format says. Each
// case is an entry and the one thing that it is about.
func TestHAROddMembers(t *testing.T) {
	body := func(b *capture.Body) string {
		if b == nil {
			return "nil"
		}
		return fmt.Sprintf("%q lost %d", b.Data, b.Lost)
	}
	content := func(e *capture.Entry) string { return body(e.Content) }
	posted := func(e *capture.Entry) string { return body(e.Body) }
	status := func(e *capture.Entry) string { return fmt.Sprint(e.Status, " ", e.Error) }
	proto := func(e *capture.Entry) string { return e.Proto }
	times := func(e *capture.Entry) string { return fmt.Sprint(e.Took, " ", e.Wait) }
	flags := func(e *capture.Entry) string { return fmt.Sprint(e.Preflight, " ", e.Cached) }
	fields := func(e *capture.Entry) string { return fmt.Sprint(e.Request) }
	size := func(e *capture.Entry) string { return fmt.Sprint(e.Size) }
	tests := []struct {
		name, entry string
		get         func(*capture.Entry) string
		want        string
	}{
		{"no content", `"response":{"status":200}`, content, "nil"},
		{"content null", `"response":{"status":200,"content":null}`, content, "nil"},
		{"no text", `"response":{"status":200,"content":{"size":69}}`, content, "nil"},
		{"text null", `"response":{"status":200,"content":{"text":null}}`, content, "nil"},
		{"text an object", `"response":{"status":200,"content":{"text":{}}}`, content, "nil"},
		{"text a number", `"response":{"status":200,"content":{"text":12}}`, content, `"12" lost 0`},
		{"empty text", `"response":{"status":204,"content":{"text":"","size":0}}`, content, `"" lost 0`},
		{"empty text of a size", `"response":{"status":200,"content":{"text":"","size":9}}`, content, "nil"},
		{"empty text without response", `"response":{"status":0,"content":{"text":"","encoding":"base64"}}`, content, "nil"},
		{"base64 without padding", `"response":{"status":200,"content":{"text":"_-8","encoding":"BASE64"}}`, content, `"\xff\xef" lost 0`},
		{"base64 in lines", `"response":{"status":200,"content":{"text":"aGVs\r\nbG8=\n","encoding":"base64"}}`, content, `"hello" lost 0`},
		{"base64 damaged", `"response":{"status":200,"content":{"text":"aGVsbG8h!!","encoding":"base64"}}`, content, `"hello!" lost 0`},
		{"attachment of a HAR without archive", `"response":{"status":200,"content":{"_file":"a.json"}}`, content, "nil"},
		{"surrogates", `"response":{"status":200,"content":{"text":"\ud83d\ude00 \ud83d"}}`, content, `"😀 �" lost 0`},

		{"nothing posted", `"request":{"postData":null}`, posted, "nil"},
		{"posted empty", `"request":{"postData":{"text":""}}`, posted, `"" lost 0`},
		{"posted without text", `"request":{"postData":{"mimeType":"a/b"}}`, posted, "nil"},
		{"posted parameters", `"request":{"postData":{"params":[{"name":"a b","value":"&"},{"name":"c","value":1}]}}`, posted, `"a+b=%26&c=1" lost 0`},
		{"posted files", `"request":{"postData":{"mimeType":"multipart/form-data","params":[{"name":"a"}]}}`, posted, "nil"},

		{"status -1", `"response":{"status":-1,"_failureText":"net::ERR_ABORTED"}`, status, "0 net::ERR_ABORTED"},
		{"status missing", `"response":{}`, status, "0 "},
		{"status a string", `"response":{"status":"401"}`, status, "401 "},
		{"status null", `"response":{"status":null}`, status, "0 "},
		{"status absurd", `"response":{"status":1e300}`, status, "0 "},
		{"response null", `"response":null`, status, "0 "},
		{"response a list", `"response":[{"status":200}]`, status, "0 "},
		{"error beside the response", `"_error":"refused","response":{"status":0,"_error":"other"}`, status, "0 refused"},
		{"Charles failed", `"response":{"status":200,"_charlesStatus":"EXCEPTION"}`, status, "200 EXCEPTION"},
		{"Charles complete", `"response":{"status":200,"_charlesStatus":"Complete"}`, status, "200 "},

		{"HTTP/1.1", `"request":{"httpVersion":"HTTP/1.1"}`, proto, "1.1"},
		{"http/1.0", `"response":{"httpVersion":"http/1.0"}`, proto, "1.0"},
		{"HTTP/2", `"response":{"httpVersion":"HTTP/2"},"request":{"httpVersion":"HTTP/1.1"}`, proto, "2"},
		{"unknown, then known", `"response":{"httpVersion":"unknown"},"request":{"httpVersion":"h2"}`, proto, "2"},
		{"h3", `"response":{"httpVersion":"h3-29"}`, proto, "3"},
		{"quic", `"response":{"httpVersion":"http/2+quic/46"}`, proto, "3"},
		{"no version", `"response":{"httpVersion":null}`, proto, ""},
		{"spdy", `"response":{"httpVersion":"spdy/3"}`, proto, ""},

		{"negative times", `"time":-1,"timings":{"blocked":-5,"wait":-1}`, times, "-1ns -1ns"},
		{"negative phase", `"time":1e-3,"timings":{"blocked":-5,"send":"1","wait":2}`, times, "1µs 3ms"},
		{"absurd times", `"time":1e300,"timings":null`, times, "-1ns -1ns"},

		{"preflight by type", `"_resourceType":"preflight"`, flags, "true false"},
		{"preflight by shape", `"request":{"method":"OPTIONS","headers":[{"name":"Access-Control-Request-Method","value":"POST"}]}`, flags, "true false"},
		{"plain OPTIONS", `"request":{"method":"OPTIONS"}`, flags, "false false"},
		{"from the disk", `"_fromCache":"disk"`, flags, "false true"},
		{"not from the disk", `"_fromCache":false,"response":{"status":200}`, flags, "false false"},
		{"304", `"response":{"status":304}`, flags, "false true"},

		{"no fields", `"request":{"headers":null}`, fields, "[]"},
		{"fields as an object", `"request":{"headers":{"A":"1","B":2}}`, fields, "[{A 1} {B 2}]"},
		{"field null", `"request":{"headers":[null,{"name":null,"value":"v"}]}`, fields, "[{ } { v}]"},

		{"size unknown", `"response":{"content":{}}`, size, "-1"},
		{"size negative", `"response":{"content":{"size":-499}}`, size, "-1"},
		{"size a string", `"response":{"content":{"size":"12"}}`, size, "12"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, _ := readEntries(t, harOf(`{"startedDateTime":"2026-11-23T08:00:00Z",`+tt.entry+`}`))
			if len(list) != 1 {
				t.Fatalf("%d entries", len(list))
			}
			if got := tt.get(list[0]); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestHARTimes(t *testing.T) {
	tests := []struct{ written, want string }{
		{"2026-11-23T08:00:01Z", "1s"},
		{"2026-11-23t08:00:01z", "1s"},
		{"2026-11-23 08:00:01Z", "1s"},
		{"2026-11-23T08:00:00.1Z", "100ms"},
		{"2026-11-23T08:00:00,25Z", "250ms"},
		{"2026-11-23T08:00:00.1234567Z", "123.4567ms"},
		{"2026-11-23T08:00:00.123456789Z", "123.456789ms"},
		{"2026-11-23T08:00:00.1234567899Z", "123.456789ms"},
		{"2026-11-23T09:30:01+01:30", "1s"},
		{"2026-11-23T00:00:01-0800", "1s"},
		{"2026-11-23T09:00:01+01", "1s"},
		{"2026-11-23T08:00:01", "1s har/no-zone"},
		{"2026-11-23T08:00:01.5", "1.5s har/no-zone"},
		{"2026-13-23T08:00:01Z", "- har/bad-time"},
		{"2026-11-23T08:00:01Zx", "- har/bad-time"},
		{"2026-11-23T08:00:01*01", "- har/bad-time"},
		{"2026-11-23T08:00", "- har/bad-time"},
		{"23 Nov 2026", "- har/bad-time"},
		{"", "- har/bad-time"},
	}
	for _, tt := range tests {
		t.Run(tt.written, func(t *testing.T) {
			s := tellBytes([]byte(harOf(fmt.Sprintf(`{"startedDateTime":%q}`, tt.written))))
			got := "nothing"
			if len(s.records) == 1 {
				got = strings.Fields(s.records[0])[1]
			}
			for _, w := range s.warnings {
				got += " " + w[:strings.Index(w, "@")]
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// An entry without a time stands where the one before it stands.
func TestHAROrder(t *testing.T) {
	check(t, tellBytes([]byte(harOf(
		entryAt(3*time.Second, "c"), entryAt(time.Second, "a"), `{"request":{"url":"b"}}`, `null`, `7`,
		entryAt(3*time.Second, "d"), entryAt(time.Second, "e")))),
		"2 1s GET a 200", "3 1s  b 0", "7 1s GET e 200", "1 3s GET c 200", "6 3s GET d 200",
		"! har/bad-time@3 1", "! har/bad-entry@4 1", "! har/bad-entry@5 1")
}

// Entries farther out of order than the window is long come out late.
func TestHARWindow(t *testing.T) {
	var entries []string
	for i := range 2000 {
		entries = append(entries, entryAt(time.Duration(i+1)*time.Second, fmt.Sprint(i)))
	}
	s := tellBytes([]byte(harOf(append(entries[:1500:1500], append([]string{entryAt(0, "late")}, entries[1500:]...)...)...)))
	if len(s.records) != 2001 {
		t.Fatalf("%d records", len(s.records))
	}
	if i := 1500 - 1024; s.records[i] != "1501 0s GET late 200" && s.records[i-1] != "1501 0s GET late 200" {
		t.Errorf("the late entry is not between %q and %q", s.records[i-1], s.records[i])
	}
}

func TestHARDocuments(t *testing.T) {
	one := entryAt(time.Second, "a")
	const a = "1 1s GET a 200"
	tests := []struct {
		name, doc string
		want      []string
	}{
		{"white space first", " \r\n\t" + harOf(one), []string{a}},
		{"byte order mark", "\ufeff" + harOf(one), []string{a}},
		{"no creator", `{"log":{"entries":[` + one + `]}}`, []string{a}},
		{"other members", `{"x":{"log":{"entries":[1]}},"log":{"entries":[` + one + `],"pages":[{}],"creator":null},"y":[[]]}`, []string{a}},
		{"no entries", `{"log":{"entries":[]}}`, nil},
		{"two lists of entries", `{"log":{"entries":[` + one + `],"entries":[` + entryAt(2*time.Second, "b") + `]}}`, []string{a, "2 2s GET b 200"}},
		{"trailing text", harOf(one) + ");", []string{a}},
		{"cut between entries", `{"log":{"entries":[` + one + `,`, []string{a, "! har/truncated@1 0"}},
		{"cut in an entry", `{"log":{"entries":[` + one + `,` + one[:60], []string{a, "! har/truncated@1 0"}},
		{"cut after the entries", `{"log":{"entries":[` + one + `]`, []string{a, "! har/truncated@1 0"}},
		{"broken in an entry", `{"log":{"entries":[` + one + `,{"request":{"method":GET}}]}}`, []string{a, "! har/broken@1 0"}},
		{"broken between entries", `{"log":{"entries":[` + one + ` ` + one + `]}}`, []string{a, "! har/broken@1 0"}},
		{"broken after the entries", `{"log":{"entries":[` + one + `],"pages":}}`, []string{a, "! har/broken@1 0"}},
		{"bytes that are no UTF-8", strings.Replace(harOf(one), "test", "\xff\xfe", 1), []string{a}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { check(t, tellBytes([]byte(tt.doc)), tt.want...) })
	}
	refusals := []struct {
		doc, text string
		kind      error
	}{
		{`{}`, "this is JSON, but not a HAR: it has no log.entries", capture.ErrUnknown},
		{`{"log":{}}`, "no log.entries", capture.ErrUnknown},
		{`{"log":[2]}`, "no log.entries", capture.ErrUnknown},
		{`{"log":{"entries":{}}}`, "no log.entries", capture.ErrUnknown},
		{`{"log":{"entries":[{"a":}]}}`, "broken JSON at offset 24: ", capture.ErrDamaged},
		{`{"log":`, "the HAR ends too early, at offset 7", capture.ErrDamaged},
	}
	for _, tt := range refusals {
		refuse(t, tellBytes([]byte(tt.doc)).err, tt.kind, tt.text)
	}
}

func TestHARCreator(t *testing.T) {
	one := entryAt(time.Second, "a")
	list, _ := readEntries(t, `{"log":{"entries":[`+one+`],"creator":{"name":"Firebug"}}}`)
	if list[0].Creator != "" {
		t.Errorf("creator %q stands after the entries", list[0].Creator)
	}
	list, _ = readEntries(t, `{"log":{"creator":{"version":"1","name":"Firebug"},"entries":[`+one+`]}}`)
	if list[0].Creator != "Firebug" {
		t.Errorf("creator %q", list[0].Creator)
	}
}

func TestHAREncodings(t *testing.T) {
	har := "\ufeff" + harOf(entryAt(time.Second, "http://h/ä😀"))
	for name, order := range map[string]byteOrder{"big": be, "little": le} {
		var marked, bare []byte
		for _, u := range utf16.Encode([]rune(har)) {
			marked = order.AppendUint16(marked, u)
		}
		bare = marked[2:]
		check(t, tellBytes(marked), "1 1s GET http://h/ä😀 200")
		check(t, tellBytes(bare), "1 1s GET http://h/ä😀 200")
		// A string that fills the buffer leaves no room for half a character.
		long := harOf(entryAt(time.Second, "http://h/"+strings.Repeat("ä€", 20_000)))
		var units []byte
		for _, u := range utf16.Encode([]rune(long)) {
			units = order.AppendUint16(units, u)
		}
		for i := range 8 {
			padded := append(bytes.Repeat(order.AppendUint16(nil, ' '), i), units...)
			if s := tellBytes(append(order.AppendUint16(nil, 0xfeff), padded...)); len(s.records) != 1 || len(s.warnings) != 0 {
				t.Errorf("%s, long, %d: %v %v %v", name, i, len(s.records), s.warnings, s.err)
			}
		}
		if s := tellBytes(marked[:len(marked)-5]); len(s.records) != 1 || len(s.warnings) != 1 {
			t.Errorf("%s, cut: %v %v", name, s, s.warnings)
		}
	}
}

// TestHARBounds: what is over a bound is cut, said, and leaves the rest whole.
func TestHARBounds(t *testing.T) {
	next := entryAt(time.Second, "next")
	big := strings.Repeat("x", 5<<20)
	entry := func(s string) string { return `{"startedDateTime":"2026-11-23T08:00:00Z",` + s + `}` }

	list, warnings := readEntries(t, harOf(entry(`"response":{"status":200,"content":{"text":"`+big+`"}}`), next))
	if len(list) != 2 || len(list[0].Content.Data) != 4<<20 || list[0].Content.Lost != 1<<20 || len(warnings) != 0 {
		t.Errorf("a large body: %d entries, %d bytes, lost %d, %v", len(list), len(list[0].Content.Data), list[0].Content.Lost, warnings)
	}

	list, _ = readEntries(t, harOf(entry(`"comment":"`+big+`","request":{"postData":{"text":"`+base64ed([]byte(big))+`","encoding":"base64"}}`), next))
	if b := list[0].Body; len(list) != 2 || len(b.Data) != 3<<20 || b.Lost>>2 != 2<<18 {
		t.Errorf("a large base64 body: %d bytes, lost %d", len(b.Data), b.Lost)
	}

	list, warnings = readEntries(t, harOf(entry(`"request":{"method":"GET","url":"`+big+`","headers":[{"name":"`+big+`","value":"v"}]}`), next))
	if len(list) != 2 || len(list[0].URL) != 1<<20-3 || len(warnings) == 0 || warnings[0].Code != "limit/har-entry" {
		t.Errorf("a large URL: %d bytes, %v", len(list[0].URL), warnings)
	}

	list, warnings = readEntries(t, harOf(entry(`"request":{"headers":[`+strings.Repeat(`{"name":"n","value":"v"},`, 5000)+`{}]}`), next))
	if len(list) != 2 || len(list[0].Request) != 1024 || warnings[0].Code != "limit/har-fields" {
		t.Errorf("many fields: %d, %v", len(list[0].Request), warnings)
	}

	list, warnings = readEntries(t, harOf(entry(`"_eventSourceMessages":[`+strings.Repeat(`{"data":"v"},`, 20000)+`7]`), next))
	if len(list) != 2 || len(list[0].Events) != 16384 || warnings[0].Code != "limit/har-events" {
		t.Errorf("many events: %d, %v", len(list[0].Events), warnings)
	}

	s := tellBytes([]byte(harOf(next) + ""))
	check(t, s, "1 1s GET next 200")
	s = tellBytes([]byte(harOf(next, strings.Repeat(" ", 2<<20)+next)))
	check(t, s, "1 1s GET next 200", "2 1s GET next 200")
	s = tellBytes([]byte(harOf(next, strings.Repeat("1", 2<<20), next)))
	check(t, s, "1 1s GET next 200", "! har/broken@1 0")
	s = tellBytes([]byte(harOf(next, strings.Repeat("[", 20000))))
	check(t, s, "1 1s GET next 200", "! har/broken@1 0")
}

// TestHARMemory: a long file costs no more than a short one.
func TestHARMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 256 MB")
	}
	one := browserHAR(1<<20, 50_000)
	end := len(one) - 3
	begin := bytes.Index(one, []byte(`"entries":[`)) + len(`"entries":[`)
	middle := append([]byte(","), one[begin:end]...)
	parts := []io.Reader{bytes.NewReader(one[:end])}
	for range 255 {
		parts = append(parts, bytes.NewReader(middle))
	}
	parts = append(parts, strings.NewReader("]}}"))
	f, err := capture.New("x", io.MultiReader(parts...))
	if err != nil {
		t.Fatal(err)
	}
	var most uint64
	for n := 0; ; n++ {
		_, err := f.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n%200 == 0 {
			most = max(most, heapInUse())
		}
	}
	if most > 48<<20 {
		t.Errorf("%d MB of heap", most>>20)
	}
	t.Logf("%d MB of heap at most", most>>20)
}
