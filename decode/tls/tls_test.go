package tls

import (
	stdtls "crypto/tls"
	"fmt"
	"strings"
	"testing"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// within takes down what the connection carried.
type within struct{ log *decodetest.Log }

func (w within) Data(d decode.Dir, at decode.Mark, p []byte)    { w.log.Piece(d, "app", p) }
func (w within) Gap(d decode.Dir, at decode.Mark, n int)        { w.log.Event(d, "gap %d", n) }
func (w within) End(d decode.Dir, at decode.Mark, e decode.End) { w.log.Event(d, "end %s", e) }

// suiteFor tests a decoder that has the secrets in keys.
func suiteFor(keys []byte) decodetest.Suite {
	return decodetest.Suite{
		New: func(s *decodetest.Script, log *decodetest.Log) decode.Conn {
			k := NewKeys(decode.Limits{})
			k.Add(keys)
			k.Done(decode.Mark{})
			return New(Config{Keys: k, Flow: s.Flow, Note: log.Note, Inner: func(i *Info) decode.Conn {
				log.Event(decode.ToServer, "%s", show(i))
				return within{log}
			}})
		},
		Same: func(line string) string {
			w := strings.Fields(line)
			switch w[1] {
			case "gap", "end", "open":
				return ""
			}
			return w[0] + w[1]
		},
	}
}

func show(i *Info) string {
	return fmt.Sprintf("open %s %s %s %s", i.ServerName, i.ALPN, i.Version, i.Suite)
}

// test runs the harness over a recording. want is what is told, notes aside.
func harness(t *testing.T, rec *recording, keys []byte, want string) {
	t.Helper()
	u := suiteFor(keys)
	s := &decodetest.Script{Flow: decode.Flow{First: 1}, Options: map[string]string{}, Steps: rec.steps, Want: want}
	u.Test(t, s)
}

var request = []string{
	">POST /mcp HTTP/1.1\r\nHost: mcp.example\r\nContent-Length: 0\r\n\r\n",
	"<HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n",
	">GET / HTTP/1.1\r\nHost: mcp.example\r\n\r\n",
	"<HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
}

// told is what a talk comes to.
func told(open string, lines []string) string {
	var text [2]string
	for _, l := range lines {
		d := 0
		if l[0] == '<' {
			d = 1
		}
		text[d] += l[1:]
	}
	log := new(decodetest.Log)
	log.Event(decode.ToServer, "%s", open)
	log.Piece(decode.ToServer, "app", []byte(text[0]))
	log.Piece(decode.ToClient, "app", []byte(text[1]))
	log.Event(decode.ToServer, "end fin")
	log.Event(decode.ToClient, "end fin")
	return log.String()
}

func TestVersionsAndSuites(t *testing.T) {
	type row struct {
		version uint16
		suite   uint16
	}
	rows := []row{{version: stdtls.VersionTLS13}}
	for _, s := range append(stdtls.CipherSuites(), stdtls.InsecureCipherSuites()...) {
		name := s.Name
		if strings.Contains(name, "ECDHE_ECDSA") {
			for _, v := range s.SupportedVersions {
				if v != stdtls.VersionTLS13 && !strings.Contains(name, "RC4") {
					rows = append(rows, row{v, s.ID})
				}
			}
		}
	}
	for _, r := range rows {
		k := talk{lines: request}
		k.client.MinVersion, k.client.MaxVersion = r.version, r.version
		k.server.MinVersion = stdtls.VersionTLS10
		k.client.NextProtos, k.server.NextProtos = []string{"h2", "http/1.1"}, []string{"http/1.1"}
		if r.suite != 0 {
			k.client.CipherSuites = []uint16{r.suite}
			k.server.CipherSuites = k.client.CipherSuites
		}
		name := stdtls.VersionName(r.version) + " " + stdtls.CipherSuiteName(r.suite)
		t.Run(name, func(t *testing.T) {
			rec := k.record(t)
			c := decodeAll(t, rec, rec.keys.Bytes())
			i := c.Info()
			if !i.Decrypted || i.Why != "" || !i.HandshakeDone {
				t.Fatalf("%+v", i)
			}
			if i.Subject != "mcp example" || strings.Join(i.Names, " ") != "mcp.example *.mcp.example 10.0.0.1" {
				t.Errorf("certificate: %q %q", i.Subject, i.Names)
			}
			if !testing.Short() {
				harness(t, rec, rec.keys.Bytes(), told("open mcp.example http/1.1 "+i.Version+" "+i.Suite, k.lines))
			}
		})
	}
}

// decodeAll decodes a recording once.
func decodeAll(t testing.TB, rec *recording, keys []byte) *Conn {
	k := NewKeys(decode.Limits{})
	if bad := k.Add(keys); bad > 0 {
		t.Fatalf("%d bad lines", bad)
	}
	k.Done(decode.Mark{})
	c := New(Config{Keys: k, Note: func(n decode.Note) {
		if t != nil {
			t.Log(n.Code, n.Text)
		}
	}, Inner: func(*Info) decode.Conn { return within{new(decodetest.Log)} }})
	for _, st := range rec.steps {
		feed(c, st)
	}
	return c
}

func feed(c *Conn, st decodetest.Step) {
	switch st.Kind {
	case decodetest.Data:
		c.Data(st.Dir, st.At, st.Data)
	case decodetest.Gap:
		c.Gap(st.Dir, st.At, st.N)
	case decodetest.End:
		c.End(st.Dir, st.At, st.Why)
	}
}
