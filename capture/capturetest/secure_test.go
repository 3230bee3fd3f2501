package capturetest

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2/hpack"
)

// h2Text reads one direction of an HTTP/2 connection, a line for each frame.
func h2Text(t *testing.T, b string) string {
	t.Helper()
	b = strings.TrimPrefix(b, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	var out, block strings.Builder
	table := hpack.NewDecoder(4096, func(f hpack.HeaderField) { fmt.Fprintf(&block, " %s=%s", f.Name, f.Value) })
	for len(b) > 0 {
		if len(b) < 9 || len(b) < 9+int(b[0])<<16+int(b[1])<<8+int(b[2]) {
			t.Fatalf("half a frame: %q", b)
		}
		n := int(b[0])<<16 + int(b[1])<<8 + int(b[2])
		kind, flags, payload := b[3], b[4], b[9:9+n]
		fmt.Fprintf(&out, "%d/%d@%d", kind, flags, b[8])
		switch kind {
		case h2Data:
			fmt.Fprintf(&out, " %.60q", payload)
		case h2Headers, h2Continuation:
			if _, err := table.Write([]byte(payload)); err != nil {
				t.Fatal(err)
			}
			if flags&h2EndHeaders != 0 {
				out.WriteString(strings.ReplaceAll(fmt.Sprintf("%.300s", block.String()), "\r\n", ""))
				block.Reset()
			}
		}
		out.WriteString("\n")
		b = b[9+n:]
	}
	return out.String()
}

func TestHTTP2(t *testing.T) {
	c := MustParse(`
> POST /mcp
  Host: gw
  X-Big: ` + strings.Repeat("~", 30000) + `
  rpc a 1
< 103
  Link: x
< 200 sse
  {}
  ...
<< {"b":1}
> GET /2
< 204
> GET /3
< 200 close
  fill 20000
up> "raw"
`)
	got := streams(t, readBack(t, c.Wrap(Wrap{HTTP2: true}).Bytes))
	const there = `4/0@0
8/0@0
4/1@0
1/0@1
9/4@1 :method=POST :scheme=http :authority=gw :path=/mcp accept=application/json, text/event-stream x-big=~~~~~
0/0@1 "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}"
0/1@1 ""
1/5@3 :method=GET :scheme=http :authority=10.0.1.1:4000 :path=/2
1/5@5 :method=GET :scheme=http :authority=10.0.1.1:4000 :path=/3
`
	const back = `4/0@0
8/0@0
4/1@0
1/4@1 :status=103 link=x
1/4@1 :status=200 content-type=text/event-stream
0/0@1 "event: message\r\ndata: {}\r\n\r\n"
0/0@1 "event: message\r\ndata: {\"b\":1}\r\n\r\n"
0/1@1 ""
1/5@3 :status=204
1/4@5 :status=200
0/0@5 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
0/0@5 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab"
0/1@5 ""
`
	text := strings.ReplaceAll(h2Text(t, got["40001>4000"]), "~~~~~", "~")
	for strings.Contains(text, "~~") {
		text = strings.ReplaceAll(text, "~~", "~")
	}
	if d := cmp.Diff(strings.ReplaceAll(there, "~~~~~", "~"), text); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(back, h2Text(t, got["4000>40001"])); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got["41001>9101"] != "raw" {
		t.Errorf("raw bytes became %q", got["41001>9101"])
	}
}

func TestHTTP2Gap(t *testing.T) {
	c := MustParse("> GET /\n< 200\n  abc\n  ...\n! gap 100\n<< def\n")
	got := streams(t, readBack(t, c.Wrap(Wrap{HTTP2: true}).Bytes))["4000>40001"]
	if !strings.Contains(got, "abc[109 missing]") || !strings.Contains(got, "def") {
		t.Errorf("%q", got)
	}
}

// records walks TLS records and returns their types.
func tlsRecords(t *testing.T, b string) (types []byte) {
	t.Helper()
	for len(b) > 0 {
		if len(b) < 5 || len(b) < 5+int(b[3])<<8+int(b[4]) || b[1] != 3 {
			t.Fatalf("not a TLS record: %.20q", b)
		}
		types = append(types, b[0])
		b = b[5+int(b[3])<<8+int(b[4]):]
	}
	return types
}

func TestTLS(t *testing.T) {
	const clientKeys, label13, label12 = 22, "CLIENT_TRAFFIC_SECRET_0 ", "CLIENT_RANDOM "
	for _, tc := range []struct {
		w     Wrap
		label string
	}{
		{Wrap{TLS: tls.VersionTLS12}, label12}, {Wrap{TLS: tls.VersionTLS13}, label13},
		{Wrap{TLS: tls.VersionTLS13, HTTP2: true, Format: Pcapng, DSB: true, MSS: 200, Double: true}, label13},
	} {
		w := MustParse(swallowed).Wrap(tc.w)
		if n := bytes.Count(w.Keys, []byte(tc.label)); n != 4 {
			t.Errorf("%d connections in the key log, want 4:\n%s", n, w.Keys)
		}
		if bytes.Contains(w.Bytes, []byte("tools/list")) {
			t.Error("clear text in the capture")
		}
		if tc.w.DSB != bytes.Contains(w.Bytes, w.Keys) {
			t.Errorf("keys in the file: %v", !tc.w.DSB)
		}
		all := streams(t, readBack(t, w.Bytes))
		for k, s := range all {
			if types := tlsRecords(t, s); len(s) > 0 && types[0] != clientKeys {
				t.Errorf("%s begins with record type %d", k, types[0])
			}
		}
		if len(all) < 8 {
			t.Errorf("%d streams", len(all))
		}
		if w.Expect[0].Frame == 0 {
			t.Error("no frame for the first expectation")
		}
	}
	if e := MustParse(swallowed).Wrap(Wrap{Format: HAR, TLS: tls.VersionTLS13, HTTP2: true}).Records[0].Entry; e.Proto != "2" || !strings.HasPrefix(e.URL, "https://") {
		t.Errorf("%s %s", e.Proto, e.URL)
	}
}

func TestTLSGap(t *testing.T) {
	c := MustParse("> GET /\n< 200\n  abc\n  ...\n! gap 100\n<< def\n. reset\n")
	got := streams(t, readBack(t, c.Wrap(Wrap{TLS: tls.VersionTLS13}).Bytes))["4000>40001"]
	if !strings.Contains(got, " missing]") {
		t.Error("no hole")
	}
}

func TestTLSOfAnotherVersionPanics(t *testing.T) {
	defer func() {
		if r := recover(); r == nil || !strings.Contains(r.(string), "Wrap.TLS") {
			t.Errorf("recovered %v", r)
		}
	}()
	MustParse(swallowed).Wrap(Wrap{TLS: tls.VersionTLS10})
}
