package capturetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Wireshark's decoder finds the same messages and nothing malformed, with right
// checksums.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed: what the captures look like to Wireshark is not checked")
	}
	const want = "POST /passthru/mcp|POST /mcp|401|200|POST /mcp|200|GET /v1/mcp/tools|200" // tshark shows a message where it ends
	for name, w := range map[string]Wrap{
		"plain": {}, "pcapng": {Format: Pcapng, BigEndian: true}, "v6": {IPv6: true}, "qinq": {Link: QinQ, Compress: Gzip}, "sll": {Link: SLL, IPv6: true},
		"sll2": {Link: SLL2}, "null": {Link: Null, IPv6: true}, "loop": {Link: Loop}, "raw": {Link: Raw}, "small": {MSS: 100, SeqWrap: true},
		"loopback": {Loopback: true, MidStream: true},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "a.pcap")
			if err := os.WriteFile(file, MustParse(swallowed).Wrap(w).Bytes, 0o600); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(tshark, "-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-d", "tcp.port==4000,http", "-d", "tcp.port==9101-9102,http", "-T", "fields", "-E", "separator=/s",
				"-e", "http.request.method", "-e", "http.request.uri", "-e", "http.response.code",
				"-e", "_ws.malformed", "-e", "tcp.checksum_bad.expert", "-e", "ip.checksum_bad.expert", "-Y", "http || _ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0")
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
			}
			var got []string
			for l := range strings.Lines(string(out)) {
				got = append(got, strings.Join(strings.Fields(l), " "))
			}
			if s := strings.Join(got, "|"); s != want {
				t.Errorf("tshark reads\n%s\nwant\n%s", s, want)
			}
		})
	}
}
