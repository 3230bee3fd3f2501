package capturetest

import (
	"bytes"
	"crypto/tls"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
)

// What is written here is what capture reads there.
func TestRoundTrip(t *testing.T) {
	c := MustParse(swallowed + "! drops 5\n")
	for name, w := range map[string]Wrap{
		"ns": {Format: PcapNS}, "pcapng": {Format: Pcapng, Mix: true}, "dsb": {Format: Pcapng, TLS: tls.VersionTLS13, DSB: true, BigEndian: true},
		"gzip": {Format: PcapNS, Compress: Gzip, BigEndian: true}, "zstd": {Format: Pcapng, Compress: Zstd, Link: SLL2, Snaplen: 90},
	} {
		t.Run(name, func(t *testing.T) {
			cap := c.Wrap(w)
			src, err := capture.New(name, bytes.NewReader(cap.Bytes))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Collect(src)
			if err != nil {
				t.Fatal(err)
			}
			want := cap.Records
			if w.Format != Pcapng {
				want = want[:len(want)-1] // pcap cannot tell losses
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%.3000s", d)
			}
		})
	}
}

func TestRoundTripHAR(t *testing.T) {
	cap := MustParse(swallowed).Wrap(Wrap{Format: HAR})
	src, err := capture.New("x.har", bytes.NewReader(cap.Bytes))
	if err != nil {
		t.Fatal(err)
	}
	got, err := Collect(src)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(cap.Records, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
