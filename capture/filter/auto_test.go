package filter

import (
	"fmt"
	"testing"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/inet"
)

const twoHops = `
down> POST /passthru/mcp
  rpc tools/list 7
passthru> POST /mcp
  rpc initialize 0
passthru< 401 json
  {"error":"invalid_token"}
gone. refused
down< 200 sse
  result tools 0
`

// carries returns what a decoder makes of each packet: its ports where it is
// TCP, or a part of a datagram.
func carries(p *capture.Packet) (s inet.Segment, ok, part bool) {
	d := inet.New(decode.Limits{}, nil)
	s, ok = d.Segment(decode.Mark{Frame: 1}, p)
	return s, ok, d.Pending()
}

// Whatever a packet of the gateway's connections comes in, it is kept; and with
// other people's ports it is not, where it comes plainly.
func TestTCPHidesNothing(t *testing.T) {
	all, named, foreign := TCP(), TCP(4000, 9101, 9102, 9103, 80, 443), TCP(1, 2)
	wraps := map[string]capturetest.Wrap{}
	for name, tunnel := range capturetest.Tunnels {
		wraps[name] = capturetest.Wrap{Tunnel: tunnel, IPv6: tunnel == capturetest.Teredo}
		wraps[name+", fragments"] = capturetest.Wrap{Tunnel: tunnel, IPv6: tunnel == capturetest.Teredo || tunnel == capturetest.InIPv4, Fragment: 200}
	}
	for _, link := range []capturetest.Link{capturetest.Ethernet, capturetest.VLAN, capturetest.QinQ, capturetest.SLL, capturetest.SLL2, capturetest.Raw} {
		for _, six := range []bool{false, true} {
			wraps[fmt.Sprint(link, six)] = capturetest.Wrap{Link: link, IPv6: six}
			wraps[fmt.Sprint(link, six, "fragments")] = capturetest.Wrap{Link: link, IPv6: six, Fragment: 200}
		}
	}
	for name, w := range wraps {
		t.Run(name, func(t *testing.T) {
			seen := 0
			for _, r := range capturetest.MustParse(twoHops).Wrap(w).Records {
				if _, known := frames[r.Packet.Link]; !known {
					continue // no interface gives such packets
				}
				s, ok, part := carries(r.Packet)
				if !ok && !part {
					continue
				}
				seen++
				for _, e := range []*Expr{all, named} {
					if keep(t, e, r.Packet) == 0 {
						t.Fatalf("%s drops frame %d: %x", e, r.Num, r.Packet.Data)
					}
				}
				plain := w.Tunnel == capturetest.NoTunnel && w.Fragment == 0 && w.Link != capturetest.VLAN && w.Link != capturetest.QinQ
				if plain && ok && keep(t, foreign, r.Packet) > 0 {
					t.Fatalf("%s keeps frame %d, from %v to %v", foreign, r.Num, s.Src, s.Dst)
				}
			}
			if _, known := frames[capturetest.MustParse(twoHops).Wrap(w).Records[0].Packet.Link]; known && seen == 0 {
				t.Error("nothing was tried")
			}
		})
	}
}

func keep(t *testing.T, e *Expr, p *capture.Packet) int {
	t.Helper()
	program, err := e.Program(p.Link)
	if err != nil {
		t.Fatal(err)
	}
	return run(t, program, [][]byte{p.Data})
}

// Of other people's captures too: every segment, whatever it lies in.
func TestTCPHidesNothingOfCorpus(t *testing.T) {
	kept, all := 0, 0
	for link, packets := range corpus(t) {
		if _, ok := frames[link]; !ok {
			continue
		}
		program, err := TCP().Program(link)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range packets {
			all++
			p := &capture.Packet{Link: link, Length: len(b), Data: b}
			n := run(t, program, [][]byte{b})
			kept += n
			if _, ok, part := carries(p); (ok || part) && n == 0 {
				t.Errorf("link %d: dropped %x", link, b[:min(len(b), 80)])
			}
		}
	}
	if all == 0 {
		t.Skip("../shared/corpus is absent")
	}
	if kept == all {
		t.Error("it drops nothing")
	}
}

// What it says of itself is an expression that finds no less.
func TestTCPText(t *testing.T) {
	if got := TCP(443, 80, 443).String(); got != "tcp port 80 or 443" {
		t.Error(got)
	}
	ports := make([]uint16, portsMost+1)
	for i := range ports {
		ports[i] = uint16(i + 1)
	}
	if got := TCP(ports...).String(); got != "tcp" {
		t.Error(got)
	}
	for _, link := range []capture.LinkType{capture.LinkEthernet, capture.LinkLinuxSLL2} {
		for _, e := range []*Expr{TCP(), TCP(ports[:portsMost]...)} {
			if program, err := e.Kernel(link); err != nil || len(program) > maxProgram {
				t.Errorf("%v, %d instructions", err, len(program))
			}
		}
	}
}
