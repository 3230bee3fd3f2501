package capturetest

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// unrelated is traffic that has nothing to do with any gateway: pages, a login
// that is refused, a cache, something binary. Its ports are its own, so that
// it stays apart when all addresses are one.
func unrelated() *Conversation {
	return MustParse(`
page = 192.168.77.7:61001 > 192.168.77.80:8080
cache = 192.168.77.8:61002 > 192.168.77.81:6379
login = 192.168.77.7:61003 > 192.168.77.82:8090
binary = 192.168.77.9:61004 > 192.168.77.83:9443
gone = 192.168.77.7:61005 > 192.168.77.84:8091
page> GET /index.html
page< 200 text/html
  <!doctype html><title>Home</title>
  fill 4000
cache> "*2\r\n$3\r\nGET\r\n$5\r\ntools\r\n"
cache< "$-1\r\n"
login> GET /api/me
login< 401 json
  WWW-Authenticate: Basic realm="intranet"
  {"error":"log in first"}
page> GET /style.css gzip
page< 200 text/css gzip
  body { color: black }
binary> "\x80\x01\x02\x03\xff\xfe"
binary< "\x00\x01\x02"
gone. refused
login> POST /api/login
  {"user":"a","method":"password"}
login< 200 json
  {"tools":[]}
login. close
cache> "*1\r\n$4\r\nPING\r\n"
cache< "+PONG\r\n"
page> GET /feed
page< 200 sse
  data: {"news":1}

  data: {"news":2}
page. close
`)
}

// withChatter adds a name query and, on Ethernet, an ARP request at the end.
func (p *packer) withChatter() *packer {
	p.now += time.Millisecond
	query := []byte{0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 3, 'c', 'o', 'm', 0, 0, 1, 0, 1}
	udp := make([]byte, 8, 8+len(query))
	binary.BigEndian.PutUint16(udp[0:], 61053)
	binary.BigEndian.PutUint16(udp[2:], 53)
	binary.BigEndian.PutUint16(udp[4:], uint16(8+len(query)))
	from := rehome(netip.AddrFrom4([4]byte{192, 168, 77, 7}), p.wrap)
	to := rehome(netip.AddrFrom4([4]byte{192, 168, 77, 53}), p.wrap)
	p.packet(from, to, protoUDP, append(udp, query...), 6, toServer)
	if p.wrap.Link == Ethernet && p.wrap.Tunnel == NoTunnel {
		p.now += apart
		arp := []byte{255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0, 9, etherARP >> 8, etherARP & 0xff, 0, 1, 8, 0, 6, 4, 0, 1}
		arp = append(arp, 2, 0, 0, 0, 0, 9, 192, 168, 77, 7, 0, 0, 0, 0, 0, 0, 192, 168, 77, 80)
		p.frame(append(arp, make([]byte, 18)...))
	}
	return p
}
