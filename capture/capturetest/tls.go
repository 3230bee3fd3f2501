package capturetest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"iter"
	"math/big"
	"net"
	"time"
)

// seal puts every connection under TLS: crypto/tls on both sides, over memory.
// It returns the key log.
func seal(flights []flight, w Wrap) ([]flight, []byte) {
	var keys bytes.Buffer
	s := &sealer{conns: map[*conn]*tlsPair{}, config: configs(w, &keys)}
	var out []flight
	for _, f := range flights {
		out = append(out, s.seal(f)...)
	}
	return out, keys.Bytes()
}

type sealer struct {
	config [2]*tls.Config // by the direction in which the side sends
	conns  map[*conn]*tlsPair
}

// A tlsPair is both ends of a connection.
type tlsPair struct {
	end  [2]*tls.Conn
	wire [2]*memory
}

func (s *sealer) seal(f flight) []flight {
	with := func(kind kind, d dir, b []byte) flight {
		g := f
		g.kind, g.dir, g.data = kind, d, b
		return g
	}
	switch f.kind {
	case doOpen:
		p := s.pair()
		s.conns[f.conn] = p
		out := []flight{f}
		for d, b := range p.handshake() {
			out = append(out, with(doRaw, d, b))
		}
		return out
	case doRaw:
		return []flight{with(doRaw, f.dir, s.conns[f.conn].write(f.dir, f.data))}
	case doGap:
		g := with(doRaw, f.dir, s.conns[f.conn].write(f.dir, make([]byte, f.n)))
		g.lost = true
		return []flight{g}
	case doFin:
		must(0, s.conns[f.conn].end[f.dir].CloseWrite())
		return []flight{with(doRaw, f.dir, s.conns[f.conn].wire[f.dir].take()), f}
	}
	return []flight{f}
}

func (s *sealer) pair() *tlsPair {
	p := &tlsPair{wire: [2]*memory{{}, {}}}
	p.end[toServer] = tls.Client(p.wire[toServer], s.config[toServer])
	p.end[toClient] = tls.Server(p.wire[toClient], s.config[toClient])
	return p
}

// write encrypts what a side says. Nobody reads it: the other side's records
// depend on its own bytes only.
func (p *tlsPair) write(d dir, b []byte) []byte {
	must(p.end[d].Write(b))
	return p.wire[d].take()
}

// handshake lets the sides take turns, each until it waits for the other, and
// yields what they say.
func (p *tlsPair) handshake() iter.Seq2[dir, []byte] {
	return func(yield func(dir, []byte) bool) {
		var next [2]func() (struct{}, bool)
		for d := range next {
			var stop func()
			next[d], stop = iter.Pull(func(wait func(struct{}) bool) {
				p.wire[d].wait = func() { wait(struct{}{}) }
				must(0, p.end[d].Handshake())
			})
			defer stop()
		}
		for going := [2]bool{true, true}; going[toServer] || going[toClient]; {
			for d := toServer; d <= toClient; d++ {
				_, going[d] = next[d]()
				if b := p.wire[d].take(); len(b) > 0 {
					p.wire[d.other()].in.Write(b)
					yield(d, b)
				}
			}
		}
	}
}

// A memory is a net.Conn whose far end is a test.
type memory struct {
	net.Conn // nil: nothing else of it is called
	in, out  bytes.Buffer
	wait     func() // lets the other side go on
}

func (m *memory) Read(p []byte) (int, error) {
	for m.in.Len() == 0 {
		m.wait()
	}
	return m.in.Read(p)
}

func (m *memory) Write(p []byte) (int, error)      { return m.out.Write(p) }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

func (m *memory) take() []byte {
	b := bytes.Clone(m.out.Bytes())
	m.out.Reset()
	return b
}

func configs(w Wrap, keys io.Writer) [2]*tls.Config {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(0, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: defaultStart.AddDate(100, 0, 0), DNSNames: []string{"gateway.test"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(0, err)
	protos := []string{"http/1.1"}
	if w.HTTP2 {
		protos = []string{"h2"}
	}
	if w.TLS != tls.VersionTLS12 && w.TLS != tls.VersionTLS13 {
		must(0, errors.New("Wrap.TLS is neither tls.VersionTLS12 nor tls.VersionTLS13"))
	}
	return [2]*tls.Config{
		{ServerName: "gateway.test", InsecureSkipVerify: true, NextProtos: protos, MinVersion: w.TLS, MaxVersion: w.TLS, KeyLogWriter: keys},
		{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: protos, MinVersion: w.TLS, MaxVersion: w.TLS},
	}
}
