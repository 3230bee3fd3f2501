package cli

import (
	"strings"
	"testing"
)

func TestSavedReport(t *testing.T) {
	for in, want := range map[string]bool{
		`{"run":{}}`:                       true,
		"\ufeff\n { \"cases\": [":          true,
		`{"finding":{}}`:                   true,
		`{"log":{"entries":[]}}`:           false,
		`{}`:                               false,
		`["run"]`:                          false,
		"\xd4\xc3\xb2\xa1\x02\x00\x04\x00": false,
		"":                                 false,
	} {
		if got := savedReport([]byte(in)); got != want {
			t.Errorf("%q: %v", in, got)
		}
	}
}

func TestDiffBaselineVerify(t *testing.T) {
	for _, c := range []struct {
		args   string
		status int
		want   string // within what is printed
	}{
		{"diff capture.pcap capture.pcap", 0, "nothing has changed: "},
		{"diff --format jsonl capture.pcap capture.pcap", 0, `"state":"still-there"`},
		{"diff --gateway x capture.pcap capture.pcap", 2, "--gateway"},
		{"diff --keylog absent capture.pcap capture.pcap", 2, "--keylog absent: no such file"},
		{"diff --fail-on some capture.pcap capture.pcap", 2, "--fail-on"},
		{"diff capture.pcap -", 2, "empty"},
		{"diff - -", 2, "cannot be both sides"},
		{"diff capture.pcap", 2, "two files are wanted"},
		{"analyze --baseline capture.pcap capture.pcap", 0, "known since the baseline"},
		{"analyze --baseline - -", 2, "already the capture"},
		{"analyze --baseline absent capture.pcap", 2, "absent: no such file"},
		{"verify --against capture.pcap", 2, "not a report of mcp401"},
		{"verify --against -", 2, "standard input: empty"},
		{"verify absent", 2, "absent: no such file"},
		{"verify", 2, "no report named"},
	} {
		status, out, errs := run(t, strings.Fields(c.args)...)
		if status != c.status || !strings.Contains(out+errs, c.want) {
			t.Errorf("%s: status %d\n%s%s", c.args, status, out, errs)
		}
	}
}
