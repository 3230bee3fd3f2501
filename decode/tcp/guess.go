package tcp

import "bytes"

// requests are what an HTTP request, in any version, begins with.
var requests = [...]string{"GET ", "POST ", "PUT ", "DELETE ", "HEAD ", "OPTIONS ", "PATCH ", "CONNECT ", "QUERY ", "PRI * HTTP/2.0"}

// guess returns the side that is the client of a connection whose beginning
// was not seen: the one whose first bytes are an HTTP request or a TLS
// ClientHello; the other one of those that are an HTTP response or a TLS
// ServerHello; else the one with the higher port number, as servers have
// registered ports and clients ephemeral ones.
func guess(f *flow) int {
	for side := range f.half {
		if q := f.wait.held[side]; len(q) > 0 {
			switch speaker(q[0].data) {
			case client:
				return side
			case server:
				return side ^ 1
			}
		}
	}
	if f.key.port[0] < f.key.port[1] {
		return 1
	}
	return 0
}

type role uint8

const (
	nobody role = iota
	client
	server
)

// speaker tells who sends such bytes.
func speaker(p []byte) role {
	if bytes.HasPrefix(p, []byte("HTTP/1.")) {
		return server
	}
	for _, r := range requests {
		if bytes.HasPrefix(p, []byte(r)) {
			return client
		}
	}
	if len(p) >= 6 && p[0] == 22 && p[1] == 3 { // a TLS handshake record (RFC 8446 section 5.1)
		switch p[5] {
		case 1:
			return client
		case 2:
			return server
		}
	}
	return nobody
}
