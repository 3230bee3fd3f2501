package main

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// An object is JSON that is changed at will.
type object = map[string]any

// exported is an entry of a real export: a list that came back empty, of which
// the gateway says that staticbad wanted a credential.
func exported(t *testing.T) object {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "samples", "browser-har", "capture.har"))
	if err != nil {
		t.Fatal(err)
	}
	var doc struct{ Log struct{ Entries []object } }
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Log.Entries[1]
}

func part(e object, path ...string) object {
	for _, name := range path {
		e = e[name].(object)
	}
	return e
}

// field sets a header field; "" takes it away.
func field(of object, name, value string) {
	list := []any{}
	for _, f := range of["headers"].([]any) {
		if !strings.EqualFold(f.(object)["name"].(string), name) {
			list = append(list, f)
		}
	}
	if value != "" {
		list = append(list, object{"name": name, "value": value})
	}
	of["headers"] = list
}

// another turns the entry into another request of the same page.
func another(e object, method, url string, status float64) {
	part(e, "request")["method"], part(e, "request")["url"] = method, url
	part(e, "response")["status"] = status
	delete(part(e, "request"), "postData")
	part(e, "response", "content")["text"] = ""
	part(e, "response", "content")["size"] = 0.
}

// What exporters do to an entry: quirks that were seen in real files. None of
// them may turn a call into an accusation, or hide one that the file shows.
func TestHARQuirks(t *testing.T) {
	const jwt = "eyJhbGciOiJIUzI1NiJ9.eyJrZXkiOiJzay1tY3A0MDEtaW4tY29va2llIn0.c2lnbmF0dXJl"
	event := func(data any) []any {
		e := object{"time": 1795422094.7, "eventName": "message", "eventId": ""}
		if data != nil {
			e["data"] = data
		}
		return []any{e}
	}
	list := func(e object) string {
		_, data, _ := strings.Cut(part(e, "response", "content")["text"].(string), "data: ")
		return strings.TrimSpace(data)
	}
	const found, hidden, none = "swallowed-401", "unanswered", ""
	for _, c := range []struct {
		name   string
		change func(e object)
		want   string // the verdict of the one case; "": there is no case
	}{
		{"as it is", func(e object) {}, found},

		{"1 aborted after the first chunk: a size and no text", func(e object) { delete(part(e, "response", "content"), "text") }, hidden},
		{"1 read to the end as text of any size", func(e object) { part(e, "response", "content")["size"] = -1. }, found},
		{"2 the text is gone after a navigation, the events are there", func(e object) {
			e["_eventSourceMessages"] = event(list(e))
			delete(part(e, "response", "content"), "text")
		}, found},
		{"2 and of a sanitized file without their data", func(e object) {
			e["_eventSourceMessages"] = event(nil)
			delete(part(e, "response", "content"), "text")
		}, hidden},
		{"2 events beside the text say nothing twice", func(e object) { e["_eventSourceMessages"] = event(list(e)) }, found},
		{"3 sanitized: no credential of the client", func(e object) { field(part(e, "request"), "x-litellm-api-key", "") }, found},
		{"4 a cookie with the key inside", func(e object) { field(part(e, "request"), "Cookie", "token="+jwt) }, found},
		{"5 the preflight, named", func(e object) {
			another(e, "OPTIONS", "http://127.0.0.1:9102/mcp", 401)
			e["_resourceType"] = "preflight"
		}, none},
		{"5 the preflight, by its fields", func(e object) {
			another(e, "OPTIONS", "http://127.0.0.1:9102/mcp", 401)
			delete(e, "_resourceType")
			field(part(e, "request"), "Access-Control-Request-Method", "POST")
		}, none},
		{"6 aborted, devtools", func(e object) {
			r := part(e, "response")
			r["status"], r["_error"], r["headers"] = 0., "net::ERR_ABORTED", []any{}
			r["content"] = object{"size": 0., "mimeType": "x-unknown"}
		}, hidden},
		{"6 aborted, playwright", func(e object) {
			r := part(e, "response")
			r["status"], r["_failureText"], r["headers"] = -1., "net::ERR_FAILED", []any{}
			r["content"] = object{"size": -1., "mimeType": "x-unknown"}
		}, hidden},
		{"6 aborted, firefox", func(e object) {
			r := part(e, "response")
			r["status"], r["headers"], r["httpVersion"] = 0., []any{}, ""
			r["content"] = object{"size": 0., "mimeType": "", "encoding": "base64", "text": ""}
		}, hidden},
		{"6 an error beside a whole answer", func(e object) { part(e, "response")["_error"] = "net::ERR_ABORTED" }, found},
		{"7 no-cors: 401 without fields and body", func(e object) {
			r := part(e, "response")
			r["status"], r["headers"] = 401., []any{}
			r["content"] = object{"size": 0., "mimeType": "x-unknown"}
		}, "gateway-refused"},
		{"8 connection is a socket", func(e object) { e["connection"] = "175" }, found},
		{"8 no connection, no address", func(e object) { delete(e, "connection"); delete(e, "serverIPAddress") }, found},
		{"9 HTTP/2, devtools", func(e object) {
			for _, p := range []object{part(e, "request"), part(e, "response")} {
				p["httpVersion"], p["headersSize"], p["bodySize"] = "http/2.0", -1., -1.
			}
			field(part(e, "request"), ":authority", "127.0.0.1:4501")
			field(part(e, "request"), ":path", "/staticbad/mcp")
			part(e, "response")["statusText"] = ""
		}, found},
		{"9 HTTP/2, playwright", func(e object) {
			part(e, "request")["httpVersion"], part(e, "response")["httpVersion"] = "HTTP/2.0", "HTTP/2.0"
			part(e, "response")["headersSize"] = 0.
		}, found},
		{"9 no version", func(e object) {
			part(e, "request")["httpVersion"], part(e, "response")["httpVersion"] = "", ""
		}, found},
		{"10 a charset", func(e object) { part(e, "response", "content")["mimeType"] = "text/event-stream; charset=utf-8" }, found},
		{"10 no type but in the fields", func(e object) {
			part(e, "response", "content")["mimeType"] = "application/x-unknown-content-type"
		}, found},
		{"10 no type but in the content", func(e object) { field(part(e, "response"), "content-type", "") }, found},
		{"11 base64", func(e object) {
			c := part(e, "response", "content")
			c["encoding"], c["text"] = "base64", base64.StdEncoding.EncodeToString([]byte(c["text"].(string)))
		}, found},
		{"12 304 without a text", func(e object) {
			another(e, "GET", "http://127.0.0.1:4501/mcp-rest/tools/list?server_id=1", 304)
			e["_fromCache"] = "disk"
			delete(part(e, "response", "content"), "text")
		}, hidden},
		{"13 firefox's zone", func(e object) { e["startedDateTime"] = "2026-11-23T08:21:34.635+00:00" }, found},
		{"13 negative phases", func(e object) {
			part(e, "timings")["blocked"], part(e, "timings")["wait"], e["time"] = -3.5, -1., -1.
		}, found},
		{"14 sizes of nonsense", func(e object) {
			part(e, "request")["bodySize"], part(e, "response")["bodySize"] = -499., -499.
			part(e, "response", "content")["size"] = 340.
		}, found},
		{"14 fields listed twice", func(e object) {
			r := part(e, "request")
			r["headers"] = append(append([]any{}, r["headers"].([]any)...), r["headers"].([]any)...)
		}, found},
		{"14 204 with an empty text", func(e object) {
			another(e, "POST", "http://127.0.0.1:4501/staticbad/mcp", 204)
		}, none},
		{"15 params beside the text", func(e object) { part(e, "request", "postData")["params"] = []any{} }, found},
		{"15 names in lower case", func(e object) {
			for _, p := range []object{part(e, "request"), part(e, "response")} {
				for _, f := range p["headers"].([]any) {
					f.(object)["name"] = strings.ToLower(f.(object)["name"].(string))
				}
			}
		}, found},
		{"16 a page of another form", func(e object) { e["pageref"] = "page@0b1c2d" }, found},
		{"17 an entry of the page itself", func(e object) {
			another(e, "POST", "http://127.0.0.1:4600/report/x", 200)
		}, none},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := exported(t)
			c.change(e)
			doc, err := json.Marshal(object{"log": object{"version": "1.2", "creator": object{"name": "x", "version": "1"}, "entries": []any{e}}})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "x.har")
			if err := os.WriteFile(file, doc, 0o600); err != nil {
				t.Fatal(err)
			}
			out, _ := run(t, "analyze", "--format", "json", file)
			var got struct {
				Cases   []struct{ Verdict string }
				Summary struct{ Records int }
			}
			if err := json.Unmarshal([]byte(out), &got); err != nil {
				t.Fatal(err)
			}
			verdict := ""
			for _, one := range got.Cases {
				verdict = strings.TrimSpace(verdict + " " + one.Verdict)
			}
			if verdict != c.want || got.Summary.Records != 1 {
				t.Errorf("%q, want %q\n%s", verdict, c.want, out)
			}
			for _, secret := range []string{"sk-mcp401", jwt, strings.Split(jwt, ".")[1]} {
				if strings.Contains(out, secret) {
					t.Errorf("%s is printed", secret)
				}
			}
		})
	}
}
