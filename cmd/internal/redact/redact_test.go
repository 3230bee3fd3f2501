package redact

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/inet"
	"mcp401/decode/stack"
	"mcp401/decode/tcp"
)

// redacted runs File over b and returns what it wrote and what it says.
func redacted(t *testing.T, b []byte, opt Options) ([]byte, Result, error) {
	t.Helper()
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, b, 0o600); err != nil {
		t.Fatal(err)
	}
	res, err := File(in, out, opt)
	left, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	got, readErr := os.ReadFile(out)
	if (err == nil) != (readErr == nil) {
		t.Fatalf("error %v, and the file: %v", err, readErr)
	}
	return got, res, err
}

// tokens matches what proves who somebody is, in a pcap and in a HAR.
var tokens = regexp.MustCompile(`(?i)(?:authorization|api-key|cookie|session-id)"?(?:: |[^}\n]{0,20}"value": ?")(?:bearer |basic )*([!-~]{6,})`)

// Every capture and HAR there is: its verdicts stay, and no token does, found by
// other means than the program's own.
func TestEveryCapture(t *testing.T) {
	var files []string
	for _, pattern := range []string{"../../../samples/*/capture.*", "../../../../shared/captures/*.pcap", "../../../../shared/har/*.har"} {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			t.Logf("nothing is at %s: skipped", pattern)
		}
		files = append(files, found...)
	}
	cases := 0
	for _, name := range files {
		opts := []Options{{}, {Hosts: true}}
		if keys, err := os.ReadFile(strings.TrimSuffix(name, ".pcap") + ".keys"); err == nil {
			opts = append(opts, Options{Clear: true, Keys: keys})
		}
		for _, opt := range opts {
			out := filepath.Join(t.TempDir(), "out")
			res, err := File(name, out, opt)
			if err != nil {
				t.Errorf("%s %v %v: %v", name, opt.Hosts, opt.Clear, err)
				continue
			}
			cases += res.Cases
			if opt.Clear && (res.Opened == 0 || res.Cases == 0) {
				t.Errorf("%s: %d connections were opened, %d cases", name, res.Opened, res.Cases)
			}
			was, _ := os.ReadFile(name)
			now, _ := os.ReadFile(out)
			if !opt.Hosts && !opt.Clear && !strings.HasSuffix(name, ".har") && len(was) != len(now) {
				t.Errorf("%s: %d bytes became %d", name, len(was), len(now))
			}
			for _, m := range tokens.FindAllSubmatch(was, -1) {
				secret := bytes.Trim(m[1], `"\,;`)
				if len(secret) >= 8 && !bytes.EqualFold(secret, []byte("bearer")) && bytes.Contains(now, secret) {
					t.Errorf("%s: a token of %d bytes is left, %.4q...", name, len(secret), secret)
				}
			}
		}
	}
	t.Logf("%d files, %d calls", len(files), cases)
}

// secrets are planted wherever a string can stand.
var secrets = []string{
	"Pl4nt-9c1e7Zq0aVd8-sEcReT77",
	"sk-live-4f9aQ7bb21c0",
	"hunter2hunter2",
	"correct horse battery staple",
	"alice.liddell@wonderland.example",
	"4111111111111111",
	"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
	"pässwörd-geheim-ß",
}

// forms are the ways in which a secret may be written.
func forms(s string) []string {
	quoted, _ := json.Marshal(s)
	list := []string{s, hex.EncodeToString([]byte(s)), url.QueryEscape(s), url.PathEscape(s), string(quoted[1 : len(quoted)-1])}
	for shift := range 3 {
		b := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), s...))
		list = append(list, b[4:len(b)-2])
	}
	return list
}

func holds(b []byte, secret string) bool {
	for _, f := range forms(secret) {
		if bytes.Contains(b, []byte(f)) {
			return true
		}
	}
	return false
}

// leaves calls f with a setter for every string of a JSON document.
func leaves(v any, path string, f func(path string, set func(string), was string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok {
				f(path+"/"+k, func(s string) { v[k] = s }, s)
			}
			leaves(e, path+"/"+k, f)
		}
	case []any:
		for i, e := range v {
			if s, ok := e.(string); ok {
				f(fmt.Sprintf("%s/%d", path, i), func(s string) { v[i] = s }, s)
			}
			leaves(e, fmt.Sprintf("%s/%d", path, i), f)
		}
	}
}

// A secret in any string of a HAR does not survive, and its verdicts do.
func TestPlantedInHAR(t *testing.T) {
	b, err := os.ReadFile("testdata/planted.har")
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	type spot struct {
		path, was string
		set       func(string)
	}
	var spots []spot
	leaves(doc, "", func(path string, set func(string), was string) { spots = append(spots, spot{path, was, set}) })
	for i, s := range spots {
		secret := secrets[i%len(secrets)]
		for _, text := range []string{secret, s.was + " " + secret, s.was + secret} {
			s.set(text)
			in, _ := json.Marshal(doc)
			out, _, err := redacted(t, in, Options{})
			if err != nil {
				t.Errorf("%s: %v", s.path, err)
			} else if holds(out, secret) {
				t.Errorf("%s: %q survives in %q", s.path, secret, text)
			}
		}
		s.set(s.was)
	}
	t.Logf("%d strings", len(spots))
}

// planted is a conversation with a secret everywhere: %s in fields and texts,
// %p where it has to be escaped for a path or a query.
const planted = `
down> POST /passthru/mcp?x=%p&server_id=%p&session_id=%p => swallowed-401
  x-litellm-api-key: Bearer sk-gate-1234567890
  x-mcp-servers: passthru
  x-mcp-passthru-authorization: Bearer %s
  Cookie: a=%s; b=c
  X-Custom: %s
  User-Agent: agent/1.0 (%s)
  Referer: http://10.0.1.1:4000/x/%p?y=%p#%p
  Via: %s
  {"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{"note":"%s","deep":[{"token":"%s"}]}}}
down< 200 sse
  mcp-session-id: %s
  Set-Cookie: sid=%s; Path=/%p
  X-Thing: %s
  ...
passthru> POST /mcp/%p
  Authorization: Bearer %s
  rpc initialize 0
passthru< 401 json "A Reason"
  WWW-Authenticate: Bearer error="invalid_token", realm="%s", error_description="%s"
  {"error":"invalid_token","error_description":"%s","%s":1}
passthru. close
~ 250ms
down<< : %s

  ...
down<< result tools 0
  ...
down<< event: %s
  id: %s
  data: {"jsonrpc":"2.0","method":"notifications/message","params":{"data":"%s"}}
  
`

// A secret in a header, a query, a JSON body or an event of a capture does not
// survive, however it is cut into segments; the verdicts do.
func TestPlantedInPackets(t *testing.T) {
	for i, secret := range secrets {
		if strings.ContainsAny(secret, " ") {
			secret = strings.ReplaceAll(secret, " ", "-")
		}
		script := strings.ReplaceAll(strings.ReplaceAll(planted, "%s", secret), "%p", url.PathEscape(secret))
		script = strings.ReplaceAll(script, ` "A Reason"`, "")
		if i%2 == 1 {
			script = gzipped(script)
		}
		conv, err := capturetest.Parse([]byte(script))
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range []capturetest.Wrap{
			{}, {MSS: 7}, {Format: capturetest.Pcapng, MSS: 100, Reorder: 1}, {Double: true, MSS: 50}, {IPv6: true, SeqWrap: true}, {MidStream: true},
			{Format: capturetest.HAR}, {Mix: true, Format: capturetest.PcapNS}, {HTTP2: true}, {HTTP2: true, MSS: 30, Reorder: 2}, {Fragment: 80},
			{TLS: tls.VersionTLS13, MSS: 100}, {TLS: tls.VersionTLS12, HTTP2: true},
		} {
			for _, hosts := range []bool{false, true} {
				c := conv.Wrap(w)
				out, res, err := redacted(t, c.Bytes, Options{Hosts: hosts, Clear: w.TLS != 0, Keys: c.Keys})
				if err != nil {
					t.Errorf("secret %d, %+v: %v", i, w, err)
					continue
				}
				if res.Cases == 0 {
					t.Errorf("secret %d, %+v: no case", i, w)
				}
				if holds(out, secret) {
					t.Errorf("secret %d, %+v: %q survives", i, w, secret)
				}
			}
		}
	}
}

// jwt makes an unsigned token with these claims.
func jwt(claims string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"HS256","typ":"JWT","kid":"key-of-acme-42"}`) + "." + part(claims) + "." + part("signature-of-32-bytes-0123456789")
}

// longJWT says all that a JWT may: some of it may stay.
var longJWT = jwt(`{"sub":"alice-4711","email":"alice@acme.example","exp":1763884800,"iat":1763881200,"aud":"https://api.example/mcp","iss":"https://id.example/","scope":"tools read","nonce":"n0nce-value","phone":491701234567}`)

// Of a JWT the claims stay that say why it was refused, and nothing else.
func TestJWT(t *testing.T) {
	conv := capturetest.MustParse(`
start = 2026-11-23T08:00:00Z
down> POST /passthru/mcp chunked
  Authorization: Bearer ` + longJWT + `
  {"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{"token":"` + longJWT + `"}}}
down< 200 sse
  ...
passthru> POST /mcp
  Authorization: Bearer ` + longJWT + `
  rpc initialize 0
passthru< 401 json
  {"error":"invalid_token"}
passthru. close
down<< event: message
  data: {"jsonrpc":"2.0","method":"notifications/message","params":{"token":"` + longJWT + `"}}

  ...
down<< result tools 0
`)
	for _, w := range []capturetest.Wrap{{}, {Format: capturetest.Pcapng}, {HTTP2: true}, {TLS: tls.VersionTLS13}, {TLS: tls.VersionTLS12, HTTP2: true}} {
		c := conv.Wrap(w)
		out, res, err := redacted(t, c.Bytes, Options{Clear: w.TLS != 0, Keys: c.Keys})
		if err != nil || res.Cases == 0 {
			t.Fatalf("%+v: %d cases, %v", w, res.Cases, err)
		}
		noJWT(t, fmt.Sprintf("%+v", w), out)
		at := bytes.Index(out, []byte("Bearer eyJ"))
		if at < 0 {
			t.Fatalf("%+v: no JWT is left", w)
		}
		masked := string(out[at+7 : at+7+len(longJWT)])
		claims, err := base64.RawURLEncoding.DecodeString(strings.Split(masked, ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		for _, kept := range []string{`"exp":1763884800`, `"iat":1763881200`, `"aud":"https://api.example/mcp"`, `"iss":"https://id.example/"`, `"scope":"tools read"`} {
			if !bytes.Contains(claims, []byte(kept)) {
				t.Errorf("%s is gone: %s", kept, claims)
			}
		}
		for _, gone := range []string{"alice", "acme", "4711", "n0nce", "491701234567"} {
			if bytes.Contains(claims, []byte(gone)) {
				t.Errorf("%s is left: %s", gone, claims)
			}
		}
	}
}

// noJWT checks that nothing of a JWT that says who somebody is is left in the
// streams of a capture: no eight characters of its signature, and of its claims
// none that hold what must go.
func noJWT(t *testing.T, what string, out []byte) {
	t.Helper()
	text := streams(t, out)
	parts := strings.Split(longJWT, ".")
	var secret []string
	for i := range len(parts[2]) - 8 {
		secret = append(secret, parts[2][i:i+8])
	}
	for i := 11; i < 17; i++ { // alice-4711 is at 8 to 18 of the claims, in characters 11 to 24
		secret = append(secret, parts[1][i:i+8])
	}
	for _, s := range append(secret, "alice", "acme") {
		if bytes.Contains(text, []byte(s)) || bytes.Contains(out, []byte(s)) {
			t.Errorf("%s: %q survives", what, s)
			return
		}
	}
}

// streams is the bytes of all connections of a capture in order, one behind the
// other, without the framing of HTTP between them.
func streams(t *testing.T, b []byte) []byte {
	t.Helper()
	src, err := capture.New("out", bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*[]byte{}
	add := func(k string, p []byte) {
		if all[k] == nil {
			all[k] = new([]byte)
		}
		*all[k] = append(*all[k], p...)
	}
	d := stack.New(stack.Config{HTTP: func(f *decode.Flow, e *httpmsg.Event) {
		if e.Kind == httpmsg.Body {
			add(fmt.Sprint(e.ID, e.Dir), e.Data)
		}
		for _, h := range e.Header {
			add("head", append(append([]byte{'\n'}, h.Value...), '\n'))
		}
	}}, func(stack.Event) {})
	in, table := inet.New(decode.Limits{}, nil), tcp.NewTable(decode.Limits{}, func(f decode.Flow) decode.Conn {
		return kept{add: func(d decode.Dir, p []byte) { add(fmt.Sprint(f.First, d), p) }}
	}, nil)
	for {
		r, err := src.Next()
		if err != nil {
			break
		}
		d.Record(r)
		at := decode.Mark{Frame: r.Num, Time: r.Time}
		if r.Packet != nil {
			if s, ok := in.Segment(at, r.Packet); ok {
				table.Segment(at, &s)
			}
		}
	}
	d.Close()
	table.Close(decode.Mark{})
	var text []byte
	for _, v := range all {
		text = append(append(text, *v...), '\n')
		// A token over two lines of data, or two events.
		for _, between := range []string{"\ndata: ", "\"}\n\ndata: {\"t\":\""} {
			text = append(append(text, bytes.ReplaceAll(*v, []byte(between), nil)...), '\n')
		}
	}
	return text
}

type kept struct{ add func(decode.Dir, []byte) }

func (k kept) Data(d decode.Dir, at decode.Mark, p []byte)      { k.add(d, p) }
func (k kept) Gap(d decode.Dir, at decode.Mark, n int)          {}
func (k kept) End(d decode.Dir, at decode.Mark, why decode.End) {}

// A JWT survives no way to cut it: into segments, chunks, TLS records, lines of
// data, events, DATA frames.
func TestSplitJWT(t *testing.T) {
	quote := func(s string) string { return fmt.Sprintf("%q", s) }
	half := len(longJWT) / 2
	for _, cut := range []int{5, 40, half, len(longJWT) - 20} {
		a, b := longJWT[:cut], longJWT[cut:]
		body := `{"jsonrpc":"2.0","id":7,"method":"tools/list","params":{"_meta":{"token":"`
		end := `"}}}`
		conv := capturetest.MustParse(`
down> ` + quote("POST /passthru/mcp HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nAuthorization: Bearer "+a) + `
down> ` + quote(b+"\r\n\r\n"+fmt.Sprintf("%x\r\n%s\r\n", len(body+a), body+a)) + `
down> ` + quote(fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(b+end), b+end)) + `
down< 200 sse
  ...
passthru> POST /mcp
  Authorization: Bearer ` + longJWT + `
  rpc initialize 0
passthru< 401 json
  {"error":"invalid_token"}
passthru. close
down<< data: {"jsonrpc":"2.0","method":"notifications/message","params":{"token":"` + a + `
  data: ` + b + `"}}

  ...
down<< data: {"t":"` + a + `"}

  data: {"t":"` + b + `"}

  ...
down<< result id=7 tools 0
`)
		for _, w := range []capturetest.Wrap{{}, {MSS: 11}, {MSS: 64, Reorder: 3}, {TLS: tls.VersionTLS13}, {TLS: tls.VersionTLS12, MSS: 70}, {Fragment: 64}} {
			c := conv.Wrap(w)
			out, res, err := redacted(t, c.Bytes, Options{Clear: w.TLS != 0, Keys: c.Keys})
			if err != nil || res.Cases == 0 {
				t.Errorf("cut at %d, %+v: %d cases, %v", cut, w, res.Cases, err)
				continue
			}
			noJWT(t, fmt.Sprintf("cut at %d, %+v", cut, w), out)
			if w.MSS == 0 && !bytes.Contains(streams(t, out), []byte("Bearer "+longJWT[:20])) {
				t.Errorf("cut at %d, %+v: the head of the JWT did not stay: it was not taken for one", cut, w)
			}
		}
	}
}

// The kinds and the flaws of a credential stay, and equal ones stay equal.
func TestCredential(t *testing.T) {
	m := NewMasker(Config{Key: []byte("k")}, nil)
	mask := func(name, v string) string {
		b := []byte(v)
		m.header(name, b)
		return string(b)
	}
	for _, tt := range []struct{ name, in, like string }{
		{"authorization", "Bearer abcdef0123456789xyz", `^Bearer [a-z]{6}\d{10}[a-z]{3}$`},
		{"authorization", "bearer bearer abcdefghijk", `^bearer bearer [a-z]{11}$`},
		{"authorization", "Bearer Bearer", `^Bearer Bearer$`},
		{"authorization", `Bearer "abcdefghijk"`, `^Bearer "[a-z]{11}"$`},
		{"authorization", "abcdefghijklmnop", `^[a-z]{16}$`},
		{"authorization", "Bearer ", `^Bearer $`},
		{"authorization", "Bearer ${TOKEN}", `^Bearer \$\{[A-Z]{5}\}$`},
		{"authorization", "Bearer os.environ/SOME_TOKEN", `^Bearer os.environ/[A-Z]{4}_[A-Z]{5}$`},
		{"authorization", "Bearer <your-token>", `^Bearer <[a-z]{4}-[a-z]{5}>$`},
		{"authorization", "Bearer täglich", `^Bearer [a-z]§[a-z]{5}$`},
		{"authorization", "MyScheme abcdefghijk", `^[A-Z][a-z][A-Z][a-z]{5} [a-z]{11}$`},
		{"x-litellm-api-key", "Bearer sk-abcdefgh1234", `^Bearer sk-[a-z]{8}\d{4}$`},
		{"x-api-key", "gho_abcdefgh1234", `^gho_[a-z]{8}\d{4}$`},
		{"x-mcp-github-authorization", "Bearer abcdefghijk", `^Bearer [a-z]{11}$`},
		{"cookie", "sid=abc123; x=y", `^[a-z]{3}=[a-z]{3}\d{3}; [a-z]=[a-z]$`},
		{"set-cookie", "sid=abc123; Path=/", `^[a-z]{3}=[a-z]{3}\d{3}; [A-Z][a-z]{3}=/$`},
		{"mcp-name", "=?base64?ZWNobw==?=", `^=\?base64\?ZWNobw==\?=$`},
		{"mcp-name", "=?base64?aHVudGVyMmh1bnRlcjI=?=", `^=\?base64\?[A-Za-z0-9]{19}=\?=$`},
		{"x-mcp-debug-oauth2-token", "abcd****efgh (SAME_AS_LITELLM_KEY)", `^[a-z]{4}\*{4}[a-z]{4} \(SAME_AS_LITELLM_KEY\)$`},
		{"www-authenticate", `Bearer error="invalid_token", resource_metadata="http://10.0.0.1:9/.well-known/x?key=abc"`,
			`^Bearer error="invalid_token", resource_metadata="http://10.0.0.1:9/.well-known/x\?key=[a-z]{3}"$`},
		{"location", "https://user:pa/ss@host.example/login?code=abcdef#t=abcdef", `^https://[a-z]{4}:[a-z]{2}/[a-z]{2}@host.example/login\?code=[a-z]{6}#t=[a-z]{6}$`},
		{"date", "Mon, 23 Nov 2026 08:07:17 GMT", `^Mon, 23 Nov 2026 08:07:17 GMT$`},
		{"x-unknown", "any thing 42", `^[a-z]{3} [a-z]{5} \d\d$`},
	} {
		got := mask(tt.name, tt.in)
		if !regexp.MustCompile(tt.like).MatchString(got) {
			t.Errorf("%s: %q became %q", tt.name, tt.in, got)
		}
		if len(got) != len(tt.in) || mask(tt.name, tt.in) != got {
			t.Errorf("%s: %q became %q, then %q", tt.name, tt.in, got, mask(tt.name, tt.in))
		}
	}
	if a, b := mask("authorization", "Bearer abcdefghijk"), mask("x-mcp-auth", "Bearer abcdefghijk"); a != b {
		t.Errorf("equal tokens became %q and %q", a, b)
	}
}

// Short words stay apart: no two of them get the same stand-in.
func TestShortWordsStayApart(t *testing.T) {
	m := NewMasker(Config{Key: []byte("k")}, nil)
	got := map[string]string{}
	for i := range 1000 {
		word := fmt.Sprintf("%03d", i)
		b := []byte(word)
		m.standIn(b)
		if other, ok := got[string(b)]; ok && i < 900 {
			t.Errorf("%s and %s became %s", word, other, b)
		}
		got[string(b)] = word
	}
}

// What is not told of a failure is refused, and leaves nothing.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	in := filepath.Join(dir, "in.har")
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	write("in.har", `{"log":{"entries":[]}}`)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ in, out, want string }{
		{in, in, "this is the file to be read"},
		{in, link, "this is the file to be read"},
		{in, dir, "not a regular file"},
		{dir, filepath.Join(dir, "out"), "not a regular file"},
		{filepath.Join(dir, "none"), filepath.Join(dir, "out"), "no such file"},
		{in, filepath.Join(dir, "no", "out"), "no such file"},
		{write("broken.har", `{"log":{"entries":[{"request":{"method":"GET","url":"http://h/"},"response":{"status":200}},{`), filepath.Join(dir, "out"), "broken JSON"},
		{write("text", "hello"), filepath.Join(dir, "out"), "this is text"},
	} {
		_, err := File(tt.in, tt.out, Options{})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s to %s: %v, want %q", tt.in, tt.out, err, tt.want)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a file is left")
	}
	left, _ := filepath.Glob(filepath.Join(dir, ".*"))
	if len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A verdict that needs what is blanked is not given up in silence.
func TestVerdictThatCannotStay(t *testing.T) {
	conv := capturetest.MustParse(`
down> POST /passthru/mcp
  rpc tools/list 7
down< 200 json gzip
  result tools 0
passthru> POST /mcp
  rpc tools/list 1
passthru< 401 json
  {"error":"invalid_token"}
`)
	// Of a link that is not known no packet can be made.
	_, _, err := redacted(t, conv.Wrap(capturetest.Wrap{HTTP2: true, Tunnel: capturetest.Radiotap}).Bytes, Options{})
	var e *Error
	if err == nil || !strings.Contains(err.Error(), "no file is left") || !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("HTTP/2: %v", err)
	}
}

// A secret that also stands as a name is masked there in a second try.
func TestSecretAsName(t *testing.T) {
	conv := capturetest.MustParse(`
down> POST /passthru/mcp
  x-litellm-api-key: Bearer wonderland
  rpc tools/list 7
down< 200 json
  result tools wonderland,echo
`)
	out, _, err := redacted(t, conv.Wrap(capturetest.Wrap{}).Bytes, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(out, []byte("wonderland")) || !bytes.Contains(out, []byte(`"echo"`)) {
		t.Errorf("the secret is left as a name, or another name is gone")
	}
}

// Keys and comments of a pcapng are dropped, TLS stays as it is.
func TestKeysAreDropped(t *testing.T) {
	conv := capturetest.MustParse("down> POST /mcp\n  rpc tools/list 7\ndown< 200 json\n  result tools 1\n")
	w := conv.Wrap(capturetest.Wrap{Format: capturetest.Pcapng, TLS: 0x0304, DSB: true})
	out, res, err := redacted(t, w.Bytes, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if res.Encrypted != 1 {
		t.Errorf("%d connections are encrypted", res.Encrypted)
	}
	for line := range bytes.Lines(w.Keys) {
		if f := bytes.Fields(line); len(f) == 3 && bytes.Contains(out, f[2]) {
			t.Errorf("a key is left")
		}
	}
	if !bytes.Contains(w.Bytes, []byte("10.0.1.1")) && !bytes.Contains(w.Bytes, []byte("gateway")) {
		t.Skip("the handshake names no host")
	}
	if out, _, err = redacted(t, w.Bytes, Options{Hosts: true}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"10.0.1.1", "gateway"} {
		if bytes.Contains(out, []byte(name)) {
			t.Errorf("%s is left", name)
		}
	}
}

// The clear part of a TLS handshake names the host; with --hosts it goes, and
// the ciphertext stays, however it is cut.
func TestRecords(t *testing.T) {
	stream := []byte("\x16\x03\x01\x00\x04host\x14\x03\x03\x00\x01\x01\x17\x03\x03\x00\x05crypt\x16\x03\x03\x00\x00\x16\x03\x03\x00\x04host\x15\x03\x03\x00\x02\x02\x28")
	want := strings.ReplaceAll(string(stream), "host", "\x00\x00\x00\x00")
	for cut := range len(stream) {
		b := slices.Clone(stream)
		var s side
		s.records(0, b[:cut])
		s.records(int64(cut), b[cut:])
		if string(b) != want {
			t.Errorf("cut at %d: %q", cut, b)
		}
	}
	var s side
	s.records(0, slices.Clone(stream[:9]))
	b := slices.Clone(stream[9:])
	s.records(10, b)
	if len(bytes.Trim(b, "\x00")) > 0 {
		t.Errorf("behind a hole %q is left", b)
	}
}

func TestSearch(t *testing.T) {
	s := NewSecrets()
	s.add([]byte("0123456789abcdef"))
	s.add([]byte("hunter2"))
	for _, tt := range []struct {
		text string
		hit  bool
	}{
		{"x0123456789abcdefx", true},
		{"0123456789abcde", false},
		{base64.StdEncoding.EncodeToString([]byte("abcd0123456789abcdefgh")), true},
		{base64.StdEncoding.EncodeToString([]byte("abcde0123456789abcdef")), true},
		{base64.URLEncoding.EncodeToString([]byte("abcdef0123456789abcdef")), true},
		{hex.EncodeToString([]byte("x0123456789abcdef")), true},
		{"a hunter2 b", true},
		{"hunter2", true},
		{"ahunter2", false},
		{"hunter22", false},
	} {
		for cut := range len(tt.text) {
			q := s.newSearch()
			q.Write([]byte(tt.text[:cut]))
			q.Write([]byte(tt.text[cut:]))
			q.Close()
			if q.hit != tt.hit {
				t.Errorf("%q cut at %d: %v", tt.text, cut, q.hit)
			}
		}
	}
}

// Masking changes no length, no mark and no structure, whatever the bytes.
func FuzzMaskKeepsStructure(f *testing.F) {
	f.Add([]byte(`{"a":"b\u00e9\n","tools":[{"name":"x"}],"n":1.5}`))
	f.Add([]byte("data: {\"jsonrpc\":\"2.0\"}\r\nid: 7\r\n\r\n"))
	f.Add([]byte("GET /a?b=c%20d HTTP/1.1\r\nHost: x:1\r\nAuthorization: Bearer a.b.c\r\n\r\n"))
	f.Add([]byte(`"\ud834\udd1e \ud834 \u12"`))
	f.Add([]byte("Cookie: a=\"ä\xff\";b\r\n c\r\n\r\n"))
	maskers := []*Masker{NewMasker(Config{Key: []byte("k")}, NewSecrets()), NewMasker(Config{Key: []byte("k"), Hosts: true}, NewSecrets())}
	f.Fuzz(func(t *testing.T, b []byte) {
		m := maskers[len(b)%2]
		for _, mask := range []func([]byte){
			func(b []byte) { m.head(b, true) }, func(b []byte) { m.head(b, false) }, m.stream, m.form, m.link, m.framing,
			func(b []byte) { m.body("application/json", 200, b) }, func(b []byte) { m.body("text/html", 500, b) },
			func(b []byte) {
				if json.Valid(b) {
					m.Entry(b)
				}
			},
		} {
			c := slices.Clone(b)
			mask(c)
			if len(c) != len(b) {
				t.Errorf("%q became %q", b, c)
			}
		}
		c := slices.Clone(b)
		m.body("application/json", 200, c)
		if json.Valid(b) && !json.Valid(c) && bytes.IndexAny(b, `{["`) == 0 {
			t.Errorf("JSON %q became %q", b, c)
		}
	})
}

// secretive is a conversation whose tokens are told from all else.
const secretive = `
down> POST /passthru/mcp => swallowed-401
  Authorization: Bearer tok-alice-00001
  rpc tools/list 7
down< 200 sse
  ...
passthru> POST /mcp
  Authorization: Bearer tok-alice-00001
  rpc tools/list 1
passthru< 401 json
  {"error":"invalid_token","note":"tok-alice-00001"}
passthru. close
~ 250ms
! drops 3
down<< result tools 0
up> POST /mcp
  Authorization: Bearer tok-alice-00001
  {"jsonrpc":"2.0","id":1,"method":"x","params":{"a":"tok-alice-00001"}}
up< 200 json
  fill 400
  ...
! gap 100
up<< tok-alice-00001
up> GET /sse
  Accept: text/event-stream
up< 200 sse
  data: tok-alice-00001

  ...
! gap 20
up<< data: tok-alice-00001

`

// However a conversation was captured, either its verdicts stay or there is no
// file; and no token is left, nor with hosts an address.
func TestHoweverCaptured(t *testing.T) {
	conv := capturetest.MustParse(secretive)
	var wraps []capturetest.Wrap
	for l := capturetest.Ethernet; l <= capturetest.Raw; l++ {
		wraps = append(wraps, capturetest.Wrap{Link: l, Format: capturetest.Pcapng}, capturetest.Wrap{Link: l, IPv6: true, MSS: 33})
	}
	for tunnel := range capturetest.Tunnel(12) {
		wraps = append(wraps, capturetest.Wrap{Tunnel: tunnel})
	}
	for seed := range uint64(8) {
		wraps = append(wraps, capturetest.Wrap{MSS: 40, Drop: 0.1, DropSeed: seed + 1}, capturetest.Wrap{MSS: 60, Reorder: seed + 1, Mix: true})
	}
	wraps = append(wraps, capturetest.Wrap{Fragment: 64}, capturetest.Wrap{Snaplen: 90}, capturetest.Wrap{Compress: capturetest.Gzip},
		capturetest.Wrap{BigEndian: true, Loopback: true}, capturetest.Wrap{HTTP2: true}, capturetest.Wrap{MidStream: true, MSS: 25})
	done, refused := 0, 0
	for _, w := range wraps {
		for _, hosts := range []bool{false, true} {
			out, _, err := redacted(t, conv.Wrap(w).Bytes, Options{Hosts: hosts})
			var e *Error
			switch {
			case err == nil:
				done++
			case errors.As(err, &e):
				refused++
			default:
				t.Errorf("%+v: %v", w, err)
			}
			if holds(out, "tok-alice-00001") {
				t.Errorf("%+v: the token is left", w)
			}
			if hosts && w.Link != capturetest.QinQ && (bytes.Contains(out, []byte{10, 0, 1, 1}) || bytes.Contains(out, []byte("10.0.1.1"))) {
				t.Errorf("%+v: an address is left", w)
			}
		}
	}
	t.Logf("%d written, %d refused", done, refused)
	if done < 2*refused {
		t.Errorf("%d written, %d refused", done, refused)
	}
}

// What comes long after the packet is still written into it.
func TestPatched(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := newPatched(f)
	var want []byte
	for i := range 40 {
		b := bytes.Repeat([]byte{byte(i)}, 300_000)
		if at := w.append(b); at != int64(len(want)) {
			t.Fatalf("at %d, want %d", at, len(want))
		}
		want = append(want, b...)
		for _, at := range []int{0, len(want) / 2, int(w.base) - 2, len(want) - 4} {
			if at >= 0 {
				w.patch(int64(at), []byte{0xfe, 0xff, byte(i), 0xfd})
				copy(want[at:], []byte{0xfe, 0xff, byte(i), 0xfd})
			}
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(f.Name()); !bytes.Equal(got, want) {
		t.Error("the file differs")
	}
}

// An escape stays an escape, of the same length and of a text of as many
// characters.
func TestEscapes(t *testing.T) {
	m := NewMasker(Config{Key: []byte("k")}, nil)
	for _, text := range []string{`["a\u0041b"]`, `["\ud834\udd1e"]`, `["\ud834x"]`, `["\u00e9t\u00e9"]`, `["a\/b\n\t\r\b\f\"\\c"]`, `["\u20ac"]`} {
		b := []byte(text)
		m.json(b)
		var was, now []string
		if json.Unmarshal([]byte(text), &was) != nil || json.Unmarshal(b, &now) != nil {
			t.Errorf("%s became %s", text, b)
			continue
		}
		if len(b) != len(text) || len([]rune(was[0])) != len([]rune(now[0])) || strings.ContainsAny(was[0], "aAé€") && was[0] == now[0] {
			t.Errorf("%s became %s", text, b)
		}
	}
}
