package filter

import (
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"mcp401/capture"
)

// expressions is what people write, and what libpcap treats in ways of its
// own. A line is one expression.
const expressions = `
tcp
udp
icmp
icmp6
ip
ip6
arp
sctp
not tcp
! (tcp or udp)
port 80
port http
tcp port 80
udp port 53
src port 80
tcp dst port 443 or 80
port 80 or 443
port 80 or not 443
port (80 or 443 or 8080)
port not 80
src or dst port 4000
src and dst port 80
portrange 1-1024
tcp portrange 8000-9000 or 80
portrange 1024-1
host 127.0.0.1
host 127.0.0.1 and port 80
src host 127.0.0.1
dst 127.0.0.1
src 10.0.0.1 or 10.0.0.2
ip host 10.0.0.1
arp host 10.0.0.1
host ::1
src host ::1 or fe80::1
ip6 host 2001:db8::1
net 10
net 192.168
net 10.0.0.0/8
net 10.0.0.0 mask 255.0.0.0
src net 127.0.0.0/8 and dst net 127.0.0.0/8
src and dst net 127.0.0.0/8
net 0.0.0.0/0
net 2001:db8::/32
net ::/0
net fe80::/10
dst net 2001:db8::/33
ip proto 6
ip proto \tcp
ip6 proto 17
proto 17
less 100
greater 100
not host 10.0.0.1 and 10.0.0.2
tcp and port 80 or udp and port 53
tcp && !(port 80 || port 443)
`

// tagged holds for Ethernet alone: this libpcap refuses it elsewhere.
const tagged = `
vlan
vlan 3
not vlan
vlan and tcp
vlan and tcp port 80
vlan 3 and host 10.0.0.1
vlan and vlan
vlan 3 and vlan 4 and tcp port 80
tcp port 80 or vlan and tcp port 80
(vlan 3 or ip6) and port 80
vlan and ip6 and port 80
`

func lines(s string) []string { return strings.Split(strings.TrimSpace(s), "\n") }

func run(t testing.TB, program []bpf.Instruction, packets [][]byte) int {
	t.Helper()
	vm, err := bpf.NewVM(program)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range packets {
		keep, err := vm.Run(p)
		if err != nil {
			t.Fatal(err)
		}
		if keep > 0 {
			n++
		}
	}
	return n
}

// corpus returns the first packets of other people's captures by link type.
func corpus(t testing.TB) map[capture.LinkType][][]byte {
	t.Helper()
	found := map[capture.LinkType][][]byte{}
	dir, err := os.Getwd()
	for ; err == nil && dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		names, _ := filepath.Glob(filepath.Join(dir, "shared", "corpus", "*.pcap*"))
		for _, name := range names {
			take(found, name)
		}
		if len(names) > 0 {
			return found
		}
	}
	return found
}

func take(found map[capture.LinkType][][]byte, name string) {
	files, err := capture.Open([]string{name}, nil, capture.Options{})
	if err != nil {
		return // damaged on purpose
	}
	defer files.Close()
	for range 200 {
		rec, err := files.Next()
		if err != nil {
			return
		}
		if p := rec.Packet; p != nil {
			found[p.Link] = append(found[p.Link], slices.Clone(p.Data))
		}
	}
}

// made returns Ethernet packets that captures seldom hold: both versions, with
// zero to two tags, fragments, options, ARP, and each cut short.
func made() [][]byte {
	var list [][]byte
	for _, tags := range [][]uint16{nil, {3}, {4}, {3, 4}} {
		for _, l3 := range networks() {
			p := make([]byte, 12)
			for i, tag := range tags {
				tpid := []uint16{0x8100, 0x88a8, 0x9100}[(int(tag)+i)%3]
				p = binary.BigEndian.AppendUint16(p, tpid)
				p = binary.BigEndian.AppendUint16(p, 0x2000|tag)
			}
			list = append(list, append(p, l3...))
		}
	}
	for _, p := range slices.Clone(list) {
		for n := 12; n < len(p); n += 3 {
			list = append(list, p[:n])
		}
	}
	return list
}

// networks returns packets from their EtherType on.
func networks() [][]byte {
	ports := []byte{0x9c, 0x40, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0}
	var list [][]byte
	for _, proto := range []byte{6, 17, 132, 1, 58} {
		for _, fragment := range []uint16{0, 0x2000, 0x2010, 0x4000} {
			for _, words := range []byte{5, 7} {
				p := make([]byte, 2+4*int(words))
				copy(p, []byte{8, 0, 0x40 | words, 0, 0, 60})
				binary.BigEndian.PutUint16(p[8:], fragment)
				p[11] = proto
				copy(p[14:], []byte{10, 0, 0, 1, 127, 0, 0, 1})
				list = append(list, append(p, ports...))
			}
		}
		six := make([]byte, 42)
		copy(six, []byte{0x86, 0xdd, 0x60})
		six[8] = proto
		copy(six[10:], []byte{0x20, 1, 0x0d, 0xb8})
		six[25], six[41] = 1, 1
		list = append(list, append(slices.Clone(six), ports...))
		six[8] = protoFragment
		list = append(list, append(append(six, proto, 0, 0, 0, 0, 0, 0, 0), ports...))
	}
	for _, ether := range []byte{6, 0x35} {
		arp := make([]byte, 30)
		arp[0] = map[byte]byte{6: 8, 0x35: 0x80}[ether]
		arp[1] = ether
		copy(arp[16:], []byte{10, 0, 0, 1})
		copy(arp[26:], []byte{127, 0, 0, 1})
		list = append(list, arp)
	}
	return list
}

func writePcap(t *testing.T, link capture.LinkType, packets [][]byte) string {
	t.Helper()
	b := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	b = append(b, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(link))
	for _, p := range packets {
		b = append(b, make([]byte, 8)...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p)))
		b = append(b, p...)
	}
	name := filepath.Join(t.TempDir(), "packets.pcap")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// counted asks tcpdump.
func counted(t *testing.T, name, expr string) int {
	t.Helper()
	out, err := exec.Command("tcpdump", "--count", "-nr", name, expr).CombinedOutput()
	text := string(out)
	if i := strings.Index(text, " packet"); err == nil && i >= 0 {
		n, err := strconv.Atoi(text[strings.LastIndexAny(text[:i], "\n")+1 : i])
		if err == nil {
			return n
		}
	}
	if strings.Contains(text, "expression rejects all packets") {
		return 0
	}
	t.Fatalf("tcpdump %q: %v: %s", expr, err, out)
	return 0
}

// The same packets match here as in tcpdump, expression by expression, over
// the corpus and over what was made for the purpose.
func TestSameAsTcpdump(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("there is no tcpdump to compare with")
	}
	packets := corpus(t)
	packets[capture.LinkEthernet] = append(packets[capture.LinkEthernet], made()...)
	for _, p := range made()[:8*4] {
		packets[capture.LinkRaw] = append(packets[capture.LinkRaw], p[14:])
		packets[capture.LinkLinuxSLL] = append(packets[capture.LinkLinuxSLL], append(make([]byte, 2), p...))
		packets[capture.LinkLinuxSLL2] = append(packets[capture.LinkLinuxSLL2], slices.Concat(p[12:14], make([]byte, 18), p[14:]))
	}
	for link, list := range packets {
		if _, ok := frames[link]; !ok {
			continue
		}
		name := writePcap(t, link, list)
		exprs := lines(expressions)
		if link == capture.LinkEthernet {
			exprs = append(exprs, lines(tagged)...)
		}
		for _, expr := range exprs {
			e, err := Compile(expr)
			if err != nil {
				t.Error(err)
				continue
			}
			program, err := e.Program(link)
			if err != nil {
				t.Errorf("%s: %v", expr, err)
				continue
			}
			if got, want := run(t, program, list), counted(t, name, expr); got != want {
				t.Errorf("link type %d: %q: %d of %d packets match, %d in tcpdump", link, expr, got, len(list), want)
			}
		}
	}
}

// What every packet here is, known without another program.
func TestMeaning(t *testing.T) {
	packet := made()[0] // TCP, 10.0.0.1:40000 to 127.0.0.1:80
	for expr, want := range map[string]int{
		"": 1, "tcp": 1, "udp": 0, "ip": 1, "ip6": 0, "port 80": 1, "src port 80": 0, "dst port http": 1,
		"host 10.0.0.1": 1, "dst 10.0.0.1": 0, "net 127": 1, "vlan": 0, "not vlan": 1, "not not tcp": 1,
		"port 443 or 80": 1, "port (443 or not 80)": 0, "port (443 or not 81)": 1, "src and dst net 10": 0, "dst or src port 80": 1,
		"dst and src net 0.0.0.0/0": 1, "portrange 79-81": 1, "portrange 80": 1, "proto 6": 1, "greater 1": 1,
	} {
		e, err := Compile(expr)
		if err != nil {
			t.Error(err)
			continue
		}
		program, err := e.Program(capture.LinkEthernet)
		if err != nil {
			t.Fatal(err)
		}
		if got := run(t, program, [][]byte{packet}); got != want {
			t.Errorf("%q: %d, want %d", expr, got, want)
		}
		if e.String() != expr {
			t.Errorf("%q became %q", expr, e)
		}
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	for expr, want := range map[string]string{
		"tcp prt 80":                     `at byte 4: "prt" stands where "and", "or" or the end was expected`,
		"port":                           `at byte 4: the expression ends where a port from 0 to 65535 was expected`,
		"port 65536":                     `at byte 5: "65536" stands where a port`,
		"port 80 or":                     `at byte 10: the expression ends where a test`,
		"(tcp":                           `at byte 4: the expression ends where "and", "or" or ")" was expected`,
		"port (80 443)":                  `at byte 9: "443" stands where "and"`,
		"80":                             `at byte 0: "80" stands where a test`,
		"tcp or 80":                      `at byte 7: "80" stands where a test`,
		"vlan 3 or 4":                    `at byte 10: "4" stands where a test`,
		"vlan 4096":                      `at byte 5: "4096" stands where a VLAN id from 0 to 4095`,
		"host example.org":               `names are not looked up`,
		"net example.org":                `names are not looked up`,
		"host 10.0.0.0/8":                `at byte 13: a length goes with "net"`,
		"net 10.0.0.1/8":                 `at byte 4: "10.0.0.1" has bits beyond the 8`,
		"net 10.0.0.0/33":                `a prefix length from 0 to 32`,
		"net 10 mask 255.1":              `a mask such as`,
		"net 10 mask 1.0.0.0":            `a mask of ones followed by zeros`,
		"tcp host 10.0.0.1":              `at byte 0: "tcp" has no addresses of its own: write "tcp and host ..."`,
		"ip port 80":                     `at byte 0: "ip" has no ports of its own: write "ip and port ..."`,
		"tcp proto 6":                    `cannot carry a protocol`,
		"ip6 host 10.0.0.1":              `"10.0.0.1" is no address of "ip6"`,
		"tcp[13] = 2":                    `at byte 3: "[": expressions over bytes`,
		"tcp; udp":                       `at byte 3: ";" is no part`,
		"tcp é":                          `"é" is no part`,
		"portrange 5-x":                  `a range of ports`,
		"ip proto \\foo":                 `a protocol from 0 to 255`,
		"less many":                      `a length from 0`,
		"tcp and and udp":                `at byte 8: "and" stands where`,
		"tcp)":                           `at byte 3: ")" stands where`,
		strings.Repeat("(", 200) + "tcp": `within each other`,
		strings.Repeat(" ", 65<<10):      `at most 65536 bytes`,
	} {
		_, err := Compile(expr)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%.40q: no place: %v", expr, err)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: %v, want %s", expr, err, want)
		}
	}
}

func TestLinkTypes(t *testing.T) {
	e, err := Compile("vlan or port 80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Program(capture.LinkIEEE80211); err == nil {
		t.Error("a program for 802.11")
	}
	if _, err := e.Kernel(capture.LinkRaw); err == nil {
		t.Error("a socket of raw packets")
	}
	for _, link := range []capture.LinkType{capture.LinkEthernet, capture.LinkLinuxSLL2} {
		for _, expr := range []string{"", "port 80", "vlan 3 and port 80", "vlan and vlan 3", "vlan and not host ::1"} {
			e, _ := Compile(expr)
			if p, err := e.Kernel(link); err != nil || len(p) == 0 {
				t.Errorf("%q: %v", expr, err)
			}
		}
	}
}

// A program of many tests has jumps beyond 255 instructions; one of too many
// is refused.
func TestLongExpressions(t *testing.T) {
	var tests []string
	for i := range 60 {
		tests = append(tests, "port "+strconv.Itoa(1000+i))
	}
	text := strings.Join(tests, " or ")
	far, _ := Compile("not (" + text + ") and tcp")
	program, err := far.Program(capture.LinkEthernet)
	if err != nil {
		t.Fatal(err)
	}
	if got := run(t, program, made()[:1]); got != 1 {
		t.Errorf("%d", got)
	}
	if _, err := bpf.Assemble(program); err != nil {
		t.Error(err)
	}
	long, err := Compile(strings.Repeat(text+" or ", 10) + "tcp")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := long.Program(capture.LinkEthernet); err == nil {
		t.Error("a program that no kernel takes")
	}
	if _, err := long.Kernel(capture.LinkEthernet); err == nil {
		t.Error("a program that no kernel takes")
	}
}

func TestParse(t *testing.T) {
	const good = "4\n40 0 0 12\n21 0 1 2048\n6 0 0 262144\n6 0 0 0\n"
	program, err := Parse(good)
	if err != nil || len(program) != 4 || program[1] != (bpf.RawInstruction{Op: 21, Jf: 1, K: 2048}) {
		t.Errorf("%v, %v", program, err)
	}
	if same, err := Fixed(program)(capture.LinkEthernet); err != nil || len(same) != 4 {
		t.Errorf("%v, %v", same, err)
	}
	if _, err := Fixed(program)(capture.LinkLinuxSLL2); err == nil {
		t.Error("offsets of Ethernet in a cooked packet")
	}
	for text, want := range map[string]string{
		"":                             "tcpdump -ddd",
		"(000) ret #0":                 "tcpdump -ddd",
		"2\n6 0 0 0":                   "2 instructions announced, 1 found",
		"1\n6 0 0":                     "line 2: four numbers",
		"1\n6 0 0 -1":                  "not a number of 32 bits",
		"1\n6 300 0 1":                 "not a number of 8 bits",
		"1\n40 0 0 12":                 "returns nothing",
		"2\n21 9 0 1\n6 0 0 0":         "line 2: a jump beyond the end",
		"2\n5 0 0 4294967295\n6 0 0 0": "line 2: a jump beyond the end",
		"5000\n" + "6 0 0 0":           "from 1 to 4096",
	} {
		if _, err := Parse(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func TestParseReadsTcpdump(t *testing.T) {
	out, err := exec.Command("tcpdump", "-ddd", "-y", "EN10MB", "tcp[tcpflags] & tcp-syn != 0").Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no tcpdump")
	}
	if _, err := Parse(string(out)); err != nil {
		t.Error(err)
	}
}

func FuzzCompileNeverPanics(f *testing.F) {
	for _, e := range append(lines(expressions), lines(tagged)...) {
		f.Add(e)
	}
	packets := made()
	f.Fuzz(func(t *testing.T, text string) {
		e, err := Compile(text)
		if err != nil {
			var place *Error
			if !errors.As(err, &place) || place.At < 0 || place.At > len(text) {
				t.Fatalf("no place in the text: %v", err)
			}
			return
		}
		for link := range frames {
			if program, err := e.Program(link); err == nil {
				run(t, program, packets[:4])
			}
		}
		for link := range kernel {
			e.Kernel(link)
		}
	})
}

func FuzzParseNeverPanics(f *testing.F) {
	f.Add("2\n40 0 0 12\n6 0 0 0\n")
	f.Fuzz(func(_ *testing.T, text string) { Parse(text) })
}
