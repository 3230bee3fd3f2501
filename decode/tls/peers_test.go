package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	stdtls "crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"mcp401/decode"
	"mcp401/decode/decodetest"
)

// A recording is what two peers sent each other.
type recording struct {
	mu    sync.Mutex
	steps []decodetest.Step
	keys  bytes.Buffer
}

func (r *recording) add(d decode.Dir, p []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.steps) + 1
	at := decode.Mark{Frame: n, Time: decodetest.Epoch.Add(time.Duration(n) * time.Millisecond)}
	r.steps = append(r.steps, decodetest.Step{Dir: d, At: at, Data: bytes.Clone(p)})
}

func (r *recording) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys.Write(p)
}

// A tap is one end of a pipe that is listened in on.
type tap struct {
	net.Conn
	dir decode.Dir
	rec *recording
}

func (t tap) Write(p []byte) (int, error) {
	t.rec.add(t.dir, p)
	return t.Conn.Write(p)
}

var certOnce = sync.OnceValue(func() stdtls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mcp example"},
		DNSNames: []string{"mcp.example", "*.mcp.example"}, IPAddresses: []net.IP{{10, 0, 0, 1}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return stdtls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

// A talk says what two peers of crypto/tls do.
type talk struct {
	client, server stdtls.Config
	lines          []string // ">..." and "<..."
}

// configs fills in what every talk needs.
func (k *talk) configs(rec *recording) (client, server *stdtls.Config) {
	client, server = &k.client, &k.server
	client.InsecureSkipVerify = true
	if client.ServerName == "" {
		client.ServerName = "MCP.example"
	}
	client.KeyLogWriter = rec
	server.Certificates = []stdtls.Certificate{certOnce()}
	return client, server
}

// record runs a talk and records it, with FINs at its end.
func (k *talk) record(t testing.TB) *recording {
	t.Helper()
	rec := &recording{}
	cc, sc := k.configs(rec)
	a, b := buffered()
	client := stdtls.Client(tap{a, decode.ToServer, rec}, cc)
	server := stdtls.Server(tap{b, decode.ToClient, rec}, sc)
	errs := make(chan error, 1)
	go func() {
		errs <- play(server, k.lines, '>')
	}()
	err1 := play(client, k.lines, '<')
	if err1 != nil {
		a.Close()
	}
	err2 := <-errs
	if (err1 != nil || err2 != nil) && k.lines != nil {
		t.Fatalf("client: %v, server: %v", err1, err2)
	}
	if k.lines != nil {
		client.Close()
		server.Close()
	}
	for _, d := range []decode.Dir{decode.ToServer, decode.ToClient} {
		n := len(rec.steps) + 1
		at := decode.Mark{Frame: n, Time: decodetest.Epoch.Add(time.Duration(n) * time.Millisecond)}
		rec.steps = append(rec.steps, decodetest.Step{Kind: decodetest.End, Dir: d, At: at, Why: decode.Fin})
	}
	return rec
}

// play does one side of a talk: it reads the lines of the other side, which
// begin with theirs, and writes its own.
func play(c *stdtls.Conn, lines []string, theirs byte) error {
	if err := c.Handshake(); err != nil {
		return err
	}
	for _, l := range lines {
		if l[0] != theirs {
			if _, err := io.WriteString(c, l[1:]); err != nil {
				return err
			}
			continue
		}
		if _, err := io.ReadFull(c, make([]byte, len(l)-1)); err != nil {
			return err
		}
	}
	return nil
}

// buffered is a pipe whose writes never wait.
func buffered() (a, b net.Conn) {
	x, y := newQueue(), newQueue()
	return &end2{in: x, out: y}, &end2{in: y, out: x}
}

type queue struct {
	mu     sync.Mutex
	more   *sync.Cond
	b      []byte
	closed bool
}

func newQueue() *queue {
	q := &queue{}
	q.more = sync.NewCond(&q.mu)
	return q
}

type end2 struct {
	net.Conn
	in, out *queue
}

func (e *end2) Read(p []byte) (int, error) {
	q := e.in
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.b) == 0 && !q.closed {
		q.more.Wait()
	}
	if len(q.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p, q.b)
	q.b = q.b[n:]
	return n, nil
}

func (e *end2) Write(p []byte) (int, error) {
	q := e.out
	q.mu.Lock()
	defer q.mu.Unlock()
	q.b = append(q.b, p...)
	q.more.Broadcast()
	return len(p), nil
}

func (e *end2) Close() error {
	for _, q := range []*queue{e.in, e.out} {
		q.mu.Lock()
		q.closed = true
		q.more.Broadcast()
		q.mu.Unlock()
	}
	return nil
}

func (e *end2) SetDeadline(time.Time) error      { return nil }
func (e *end2) SetReadDeadline(time.Time) error  { return nil }
func (e *end2) SetWriteDeadline(time.Time) error { return nil }
