package capturetest

import (
	"crypto/tls"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Wireshark's decoder finds the same messages and nothing malformed, with right
// checksums.
func TestTshark(t *testing.T) {
	// A message is shown in the frame where it ends.
	const want = "POST /passthru/mcp|POST /mcp|401|200|POST /mcp|200|GET /v1/mcp/tools|200"
	for name, w := range map[string]Wrap{
		"plain": {}, "pcapng": {Format: Pcapng, BigEndian: true}, "v6": {IPv6: true}, "qinq": {Link: QinQ, Compress: Gzip}, "sll": {Link: SLL, IPv6: true},
		"sll2": {Link: SLL2}, "null": {Link: Null, IPv6: true}, "loop": {Link: Loop}, "raw": {Link: Raw}, "small": {MSS: 100, SeqWrap: true},
		"loopback": {Loopback: true, MidStream: true}, "tls 1.2": {TLS: tls.VersionTLS12}, "tls 1.3": {TLS: tls.VersionTLS13, MSS: 300},
		"dsb": {TLS: tls.VersionTLS13, DSB: true, Format: Pcapng},
	} {
		t.Run(name, func(t *testing.T) {
			want := want
			if w.TLS != 0 {
				want = strings.TrimSuffix(want, "|200") // tshark does not end a body that ends with the connection under TLS
			}
			if got := tshark(t, w, "http", "http.request.method", "http.request.uri", "http.response.code"); got != want {
				t.Errorf("tshark reads\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestTsharkHTTP2(t *testing.T) {
	const want = "POST /passthru/mcp|200|POST /mcp|401|POST /mcp|200|GET /v1/mcp/tools|200" // where the head ends
	for name, w := range map[string]Wrap{
		"clear": {HTTP2: true}, "small": {HTTP2: true, MSS: 50}, "tls 1.2": {HTTP2: true, TLS: tls.VersionTLS12}, "dsb": {HTTP2: true, TLS: tls.VersionTLS13, DSB: true, Format: Pcapng},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tshark(t, w, "http2.headers", "http2.headers.method", "http2.headers.path", "http2.headers.status"); got != want {
				t.Errorf("tshark reads\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// Wireshark's decoder sees through every tunnel, and puts fragments together.
func TestTsharkTunnels(t *testing.T) {
	const want = "POST /passthru/mcp|POST /mcp|401|200|POST /mcp|200|GET /v1/mcp/tools|200"
	for name, tunnel := range Tunnels {
		t.Run(name, func(t *testing.T) {
			six := tunnel == Teredo || tunnel == InIPv4 // 6in4; InIPv6 is 4in6
			got := tshark(t, Wrap{Tunnel: tunnel, IPv6: six, Fragment: 700, Scatter: tunnel%2 == 0}, "http", "http.request.method", "http.request.uri", "http.response.code")
			if got != want {
				t.Errorf("tshark reads\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// tshark returns those fields of the frames that the filter finds, and of all
// that are malformed, joined with "|".
func tshark(t *testing.T, w Wrap, filter string, fields ...string) string {
	t.Helper()
	exe, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("tshark is not installed: what the captures look like to Wireshark is not checked")
	}
	capture := MustParse(swallowed).Wrap(w)
	file := filepath.Join(t.TempDir(), "a.pcap")
	keys := file + ".keys"
	for name, b := range map[string][]byte{file: capture.Bytes, keys: capture.Keys} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	as := "http"
	switch {
	case w.TLS != 0:
		as = "tls"
	case w.HTTP2:
		as = "http2"
	}
	args := []string{
		"-r", file, "-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE", "-d", "tcp.port==4000," + as, "-d", "tcp.port==9101-9102," + as,
		"-T", "fields", "-E", "separator=/s", "-e", "_ws.malformed", "-e", "tcp.checksum_bad.expert", "-e", "ip.checksum_bad.expert",
		"-Y", filter + " || _ws.malformed || tcp.checksum.status == 0 || ip.checksum.status == 0",
	}
	if !w.DSB {
		args = append(args, "-o", "tls.keylog_file:"+keys)
	}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	out, err := exec.Command(exe, args...).Output()
	if err != nil {
		t.Fatalf("%v: %s", err, err.(*exec.ExitError).Stderr)
	}
	var got []string
	for l := range strings.Lines(string(out)) {
		got = append(got, strings.Join(strings.Fields(l), " "))
	}
	return strings.Join(got, "|")
}
