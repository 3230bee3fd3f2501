package http1

import (
	"strings"
	"testing"

	"mcp401/decode"
)

func TestSniff(t *testing.T) {
	const v2 = signature + "\x21\x11\x00\x0c............"
	for _, x := range []struct {
		d    decode.Dir
		p    string
		want decode.Verdict
	}{
		{decode.ToServer, "", decode.More},
		{decode.ToServer, "G", decode.More},
		{decode.ToServer, "GET ", decode.More},
		{decode.ToServer, "GET /", decode.Yes},
		{decode.ToServer, "\r\n\nPOST /mcp", decode.Yes},
		{decode.ToServer, "GET http://a/ HT", decode.More},
		{decode.ToServer, "GET http://a/ HTTP/1.1\r\n", decode.Yes},
		{decode.ToServer, "M-SEARCH * HTTP/1.1\r\n", decode.Yes},
		{decode.ToServer, "QUERY /a b HTTP/1.0\n", decode.Yes},
		{decode.ToServer, "query /a", decode.More},
		{decode.ToServer, "OPTIONS * HTTP/1.1\r\n", decode.Yes},
		{decode.ToServer, "PRI * HTTP/2.0\r\n", decode.No},
		{decode.ToServer, "GET key\r\n", decode.No},
		{decode.ToServer, "GET \x01", decode.No},
		{decode.ToServer, "EHLO a.example\r\n", decode.No},
		{decode.ToServer, "SSH-2.0-OpenSSH_9.6 Ubuntu-3\r\n", decode.No},
		{decode.ToServer, "SSH-2.0-OpenSSH_9.6\r\n", decode.No},
		{decode.ToServer, "*1\r\n$4\r\nPING\r\n", decode.No},
		{decode.ToServer, "\x16\x03\x01", decode.No},
		{decode.ToServer, strings.Repeat("A", 65), decode.No},
		{decode.ToServer, "A /" + strings.Repeat("x", mostLine), decode.No},
		{decode.ToServer, " HTTP/1.1\r\n", decode.No},
		{decode.ToServer, "GET HTTP/1.1\r\n", decode.No},
		{decode.ToServer, "PROXY TCP4 192.0.2.1", decode.More},
		{decode.ToServer, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /", decode.Yes},
		{decode.ToServer, "PROXY UNKNOWN\r\n\x16\x03", decode.No},
		{decode.ToServer, "PROXY /not HTTP/1.1\r\n", decode.Yes},
		{decode.ToServer, "PROXY " + strings.Repeat("x", 200) + "\r\n", decode.No},
		{decode.ToServer, "\r\n\r\n", decode.More},
		{decode.ToServer, signature, decode.More},
		{decode.ToServer, v2[:20], decode.More},
		{decode.ToServer, v2, decode.More},
		{decode.ToServer, v2 + "GET /", decode.Yes},
		{decode.ToServer, v2 + "\x16\x03\x01", decode.No},
		{decode.ToClient, "", decode.More},
		{decode.ToClient, "HTTP/1", decode.More},
		{decode.ToClient, "HTTP/1.", decode.Yes},
		{decode.ToClient, "HTTP/2 ", decode.No},
		{decode.ToClient, "220 smtp", decode.No},
	} {
		if got := Sniff(x.d, []byte(x.p)); got != x.want {
			t.Errorf("Sniff(%s, %.60q) = %d, want %d", x.d, x.p, got, x.want)
		}
	}
}

// A verdict is never taken back when more bytes come.
func FuzzSniffNeverChangesItsMind(f *testing.F) {
	f.Add(true, "GET / HTTP/1.1\r\n\r\n")
	f.Add(true, "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.0\n")
	f.Add(false, "HTTP/1.1 200 OK")
	f.Add(true, "0 \x1b HTTP/1.0\n")
	f.Fuzz(func(t *testing.T, client bool, p string) {
		d := decode.ToClient
		if client {
			d = decode.ToServer
		}
		was := decode.More
		for n := range len(p) + 1 {
			v := Sniff(d, []byte(p[:n]))
			if was != decode.More && v != was && !(was == decode.Yes && v == decode.No && strings.Contains(p[:n], "\n")) {
				t.Fatalf("%q: %d, then %d", p[:n], was, v)
			}
			was = v
		}
	})
}

func TestFindStart(t *testing.T) {
	long := "/" + strings.Repeat("x", lookback)
	for _, x := range []struct {
		d    decode.Dir
		p    string
		want string // what is left behind the start line's begin; "" for none
	}{
		{decode.ToClient, "}HTTP/1.1 200 OK\r\nA: b\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n"},
		{decode.ToClient, "HTTP/1.1 200\n\n", "HTTP/1.1 200\n\n"},
		{decode.ToClient, "HTTP/1.1 200 OK\r\n", ""},
		{decode.ToClient, "HTTP/1.1 200 OK\r\nabc", ""},
		{decode.ToClient, "HTTP/1.1 200 OK\r\nnot a field", ""},
		{decode.ToClient, "HTTP/1.1 2000\r\nA:", ""},
		{decode.ToClient, "HTTP/1.1200 OK\r\nA:", ""},
		{decode.ToClient, "HTTP/1.1\" 200 HTTP/1.x HTTP/1.0 404 \r\nb:", "HTTP/1.0 404 \r\nb:"},
		{decode.ToClient, "HTTP/1.1 200 " + strings.Repeat("x", 3*lookahead) + "\r\nA:", ""},
		{decode.ToClient, "HTTP/1.1 200 OK\r\n" + strings.Repeat("x", 3*lookahead) + ":", ""},
		{decode.ToServer, "{}POST /a HTTP/1.1\r\nA: b", "POST /a HTTP/1.1\r\nA: b"},
		{decode.ToServer, "xyGET /a HTTP/1.1\r\n\r\n", "GET /a HTTP/1.1\r\n\r\n"},
		{decode.ToServer, "ET /a HTTP/1.1\r\n\r\n", ""},
		{decode.ToServer, "x\nMETHOD /a HTTP/1.1\r\n\r\n", "METHOD /a HTTP/1.1\r\n\r\n"},
		{decode.ToServer, "\"GET /a HTTP/1.1\" 200\n", ""},
		{decode.ToServer, " /a HTTP/1.1\r\n\r\n", ""},
		{decode.ToServer, "( /a HTTP/1.1\r\n\r\n", ""},
		{decode.ToServer, "GET  HTTP/1.1\r\n\r\n", ""},
		{decode.ToServer, "GET " + long + " HTTP/1.1\r\n\r\n", ""},
	} {
		i, v := findStart(x.d, []byte(x.p), 0)
		got := ""
		if v == decode.Yes {
			got = x.p[i:]
		}
		if got != x.want {
			t.Errorf("%.60q: found %.60q, want %.60q", x.p, got, x.want)
		}
	}
}
