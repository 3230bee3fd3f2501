package all_test

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/decode/stack"
	"mcp401/rules/hop"
	"mcp401/rules/rulestest"
)

// every gives each packet to change, which may change the record but not what
// it points at, and keeps those for which it returns true.
func every(records []capture.Record, change func(i int, r *capture.Record) bool) (out []capture.Record) {
	for i, r := range records {
		if r.Packet == nil || change(i, &r) {
			out = append(out, r)
		}
	}
	return renumbered(out)
}

func renumbered(records []capture.Record) []capture.Record {
	return capturetest.Drop(records, 0, 0)
}

func byTime(records ...[]capture.Record) []capture.Record {
	out := slices.Concat(records...)
	slices.SortStableFunc(out, func(a, b capture.Record) int { return a.Time.Compare(b.Time) })
	return renumbered(out)
}

func later(records []capture.Record, d time.Duration) []capture.Record {
	return every(records, func(_ int, r *capture.Record) bool { r.Time = r.Time.Add(d); return true })
}

// stepped lets the clock jump once, in the middle.
func stepped(records []capture.Record, d time.Duration) []capture.Record {
	return every(records, func(i int, r *capture.Record) bool {
		if i > len(records)/2 {
			r.Time = r.Time.Add(d)
		}
		return true
	})
}

// jumbled moves records by a few places, with their times.
func jumbled(records []capture.Record) []capture.Record {
	out := slices.Clone(records)
	for i := 0; i+3 < len(out); i += 3 {
		if out[i+2].Time.Sub(out[i].Time) < 2*time.Millisecond {
			out[i], out[i+2] = out[i+2], out[i]
		}
	}
	return renumbered(out)
}

// snapped keeps n bytes of each packet.
func snapped(records []capture.Record, n int) []capture.Record {
	return every(records, func(_ int, r *capture.Record) bool {
		p := *r.Packet
		p.Data = p.Data[:min(n, len(p.Data))]
		r.Packet = &p
		return true
	})
}

// oneWay keeps what goes to lower port numbers, or what comes from them. In
// captures with ephemeral client ports that is a direction.
func oneWay(records []capture.Record, toLower bool) []capture.Record {
	return every(records, func(_ int, r *capture.Record) bool {
		at := tcpAt(r.Packet)
		return at == 0 || toLower == (binary.BigEndian.Uint16(r.Packet.Data[at:]) > binary.BigEndian.Uint16(r.Packet.Data[at+2:]))
	})
}

// tcpAt is where the TCP header of an Ethernet, cooked or raw IPv4 packet
// stands; 0: nowhere.
func tcpAt(p *capture.Packet) int {
	at, ok := map[capture.LinkType]int{capture.LinkEthernet: 14, capture.LinkLinuxSLL: 16, capture.LinkLinuxSLL2: 20, capture.LinkRaw: 0, capture.LinkNull: 4}[p.Link]
	if !ok || len(p.Data) < at+40 || p.Data[at]>>4 != 4 || p.Data[at+9] != 6 {
		return 0
	}
	return at + int(p.Data[at]&15)*4
}

// translated is what stands behind a translation of addresses and ports.
func translated(records []capture.Record, to map[netip.AddrPort]netip.AddrPort) []capture.Record {
	return every(records, func(_ int, r *capture.Record) bool {
		at := tcpAt(r.Packet)
		if at == 0 {
			return false
		}
		p := *r.Packet
		p.Data = slices.Clone(p.Data)
		changed := false
		for side := range 2 {
			addr, port := p.Data[at-8+4*side:at-4+4*side], p.Data[at+2*side:at+2*side+2]
			for _, key := range []netip.AddrPort{
				netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr)), binary.BigEndian.Uint16(port)), netip.AddrPortFrom(netip.AddrFrom4([4]byte(addr)), 0),
			} {
				if v, ok := to[key]; ok {
					changed = true
					copy(addr, v.Addr().AsSlice())
					if v.Port() != 0 {
						binary.BigEndian.PutUint16(port, v.Port())
					}
					break
				}
			}
		}
		r.Packet = &p
		r.Time = r.Time.Add(40 * time.Microsecond)
		return changed
	})
}

// harmless is damage that takes nothing away.
func harmless(records []capture.Record) map[string][]capture.Record {
	out := map[string][]capture.Record{
		"doubled":             capturetest.Double(records),
		"reordered":           capturetest.Reorder(records, 3, 3),
		"out of time order":   jumbled(records),
		"merged, 50 us apart": byTime(records, later(records, 50*time.Microsecond)),
		"merged, 3 ms apart":  byTime(records, later(records, 3*time.Millisecond)),
	}
	for _, d := range []time.Duration{3 * time.Second, -3 * time.Second, -time.Hour} {
		out["clock step "+d.String()] = stepped(records, d)
	}
	return out
}

// lossy is damage that takes something away.
func lossy(records []capture.Record) map[string][]capture.Record {
	n := len(records)
	return map[string][]capture.Record{
		"snap length 96":  snapped(records, 96),
		"snap length 200": snapped(records, 200),
		"begun late":      renumbered(records[n/3:]),
		"cut at the end":  renumbered(records[:2*n/3]),
		"both":            renumbered(records[n/5 : 4*n/5]),
		"to the server":   oneWay(records, true),
		"to the client":   oneWay(records, false),
		"an hour skipped": stepped(records, time.Hour), // which cannot be told from an hour of silence
		"5 % lost":        capturetest.Drop(records, 5, 0.05),
		"stepped, lossy":  capturetest.Drop(stepped(records, -3*time.Second), 6, 0.05),
	}
}

// lost counts what a capture is known not to show: holes, and connections that
// are not whole.
func lost(records []capture.Record) (n int) {
	d := stack.New(stack.Config{}, func(e stack.Event) {
		if k := e.Connection; k != nil && (k.Gaps > 0 || k.Flow.Mid || k.How != decode.Fin) {
			n++
		}
	})
	for _, r := range records {
		d.Record(r)
	}
	d.Close()
	return n
}

// coarse is the verdicts with their causes: how many attempts a call is seen to
// have made, and in which order, may be another with frames in another order.
func coarse(records []capture.Record) (out []string) {
	for _, s := range verdicts(records) {
		s, _, _ = strings.Cut(s, " confidence=")
		if before, _, ok := strings.Cut(s, "partial-list"); ok {
			s = before + "partial-list" // of several that failed, the first that was seen gives the cause
		}
		out = append(out, s)
	}
	return out
}

func TestDamageThatTakesNothing(t *testing.T) {
	records := capturetest.MustParse(hidden).Records()
	want := verdicts(records)
	for name, less := range harmless(records) {
		if d := cmp.Diff(want, verdicts(less)); d != "" {
			t.Errorf("%s (-plain +%s):\n%s", name, name, d)
		}
	}
}

// What is missing accuses nobody, and is known to be missing.
func TestDamageAccusesNobody(t *testing.T) {
	c := capturetest.MustParse(hidden)
	for _, w := range []capturetest.Wrap{{}, {MSS: 100}, {HTTP2: true}} {
		records := c.Wrap(w).Records
		whole := rulestest.Judge(records, hop.Config{})
		for name, less := range lossy(records) {
			for _, e := range rulestest.Added(whole, rulestest.Judge(less, hop.Config{})) {
				t.Errorf("%s: %s", name, e)
			}
			if lost(less) == 0 {
				t.Errorf("%s: nothing is known to be lost", name)
			}
		}
	}
}

func TestDamageOfRealCaptures(t *testing.T) {
	for _, file := range shared(t, "captures/*.pcap") {
		records := open(t, file)
		whole := rulestest.Judge(records, hop.Config{})
		damaged := lossy(records)
		maps.Copy(damaged, harmless(records))
		for name, less := range damaged {
			for _, e := range rulestest.Added(whole, rulestest.Judge(less, hop.Config{})) {
				t.Errorf("%s, %s: %s", filepath.Base(file), name, e)
			}
		}
		want := coarse(records)
		for name, same := range harmless(records) {
			if d := cmp.Diff(want, coarse(same)); d != "" {
				t.Errorf("%s (-plain +%s):\n%s", filepath.Base(file), name, d)
			}
		}
	}
}

// A capture on both sides of an address translation, or of a tunnel, has every
// connection twice. They count once, and nobody passes for another gateway.
func TestTranslatedAddresses(t *testing.T) {
	c := capturetest.MustParse(hidden)
	records := c.Records()
	want := verdicts(records)
	at := netip.MustParseAddrPort
	service := map[netip.AddrPort]netip.AddrPort{at("10.0.1.1:4000"): at("192.0.2.80:80")}
	client := map[netip.AddrPort]netip.AddrPort{at("10.0.0.5:0"): at("192.0.2.7:0")}
	out := map[netip.AddrPort]netip.AddrPort{at("10.0.1.1:4000"): at("10.0.1.1:4000"), at("10.0.1.1:0"): at("192.0.2.9:0")}
	for name, both := range map[string][]capture.Record{
		"clients":                      byTime(records, translated(records, client)),
		"the gateway's way out":        byTime(records, translated(records, out)),
		"the gateway, seen behind":     byTime(records, translated(records, service)),
		"the gateway, seen before":     byTime(translated(records, service), later(records, 80*time.Microsecond)),
		"the gateway, and its way out": byTime(translated(records, service), later(records, 80*time.Microsecond), later(translated(records, out), 160*time.Microsecond)),
		"tunnel":                       byTime(records, later(c.Wrap(capturetest.Wrap{Tunnel: capturetest.VXLAN}).Records, 20*time.Microsecond)),
		"tag":                          byTime(records, later(c.Wrap(capturetest.Wrap{Link: capturetest.VLAN}).Records, 20*time.Microsecond)),
	} {
		if d := cmp.Diff(want, verdicts(both)); d != "" {
			t.Errorf("%s (-once +twice):\n%s", name, d)
		}
	}
}
