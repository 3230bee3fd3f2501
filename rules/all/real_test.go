package all_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mcp401/capture"
	"mcp401/capture/capturetest"
	"mcp401/decode"
	"mcp401/rules/hop"
	"mcp401/rules/report"
	"mcp401/rules/rulestest"
)

// shared finds the files of real captures beside the project that match any of
// the patterns.
func shared(t *testing.T, patterns ...string) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		dir = filepath.Dir(dir)
		var files []string
		for _, p := range patterns {
			fs, _ := filepath.Glob(filepath.Join(dir, "shared", p))
			files = append(files, fs...)
		}
		if len(files) > 0 {
			return files
		}
	}
	t.Skip("the folder ../shared with real captures is absent")
	return nil
}

func open(t *testing.T, names ...string) []capture.Record {
	t.Helper()
	src, err := capture.Open(names, nil, capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	records, err := capturetest.Collect(src)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

func read(t *testing.T, file []byte) []capture.Record {
	t.Helper()
	src, err := capture.New("test", bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	records, err := capturetest.Collect(src)
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// said is what is said of a capture, without frames and times.
func said(records []capture.Record) []string {
	var out []string
	for _, v := range rulestest.Judge(records, hop.Config{}) {
		k := v.Case.Call
		id := ""
		if k.Request != nil {
			id = k.Request.ID
		}
		out = append(out, fmt.Sprint(k.Asked.Flow.Client, " ", k.Asked.Path, " ", id, ": ", &v))
	}
	slices.Sort(out)
	return out
}

// A real capture gives the same report however it is kept.
func TestSameHoweverKept(t *testing.T) {
	noise := shared(t, "corpus/mix-browsing.pcap")
	for _, file := range shared(t, "captures/*.pcap") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pcap"), func(t *testing.T) {
			records := open(t, file)
			whole := said(records)
			dir := t.TempDir()
			halves := capturetest.Split(records, 2)
			names := []string{filepath.Join(dir, "a.pcap"), filepath.Join(dir, "b.pcap")}
			for i, h := range halves {
				if err := os.WriteFile(names[i], capturetest.WritePcap(h, capturetest.File{}), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			pipe, err := capture.Open([]string{"-"}, bytes.NewReader(capturetest.WritePcap(records, capturetest.File{})), capture.Options{})
			if err != nil {
				t.Fatal(err)
			}
			piped, err := capturetest.Collect(pipe)
			if err != nil {
				t.Fatal(err)
			}
			for name, less := range map[string][]capture.Record{
				"gzip":      read(t, capturetest.WritePcap(records, capturetest.File{Compress: capturetest.Gzip, Nano: true})),
				"zstd":      read(t, capturetest.WritePcap(records, capturetest.File{Compress: capturetest.Zstd, BigEndian: true})),
				"pcapng":    read(t, capturetest.WritePcapng(records, capturetest.File{})),
				"pipe":      piped,
				"two files": open(t, names...),
				"doubled":   capturetest.Double(records),
				"reordered": capturetest.Reorder(records, 1, 3),
				"mixed":     capturetest.Mix(records, open(t, noise...)),
			} {
				if d := cmp.Diff(whole, said(less)); d != "" {
					t.Errorf("%s (-plain +%s):\n%s", name, name, d)
				}
			}
		})
	}
}

// With frames missing nothing is accused that was not before.
func TestDroppedFramesAccuseNothing(t *testing.T) {
	for _, file := range shared(t, "captures/*.pcap") {
		records := open(t, file)
		whole := rulestest.Judge(records, hop.Config{})
		for seed := range uint64(5) {
			for _, rate := range []float64{0.01, 0.05} {
				for _, e := range rulestest.Added(whole, rulestest.Judge(capturetest.Drop(records, seed, rate), hop.Config{})) {
					t.Errorf("%s, %g, seed %d: %s", filepath.Base(file), rate, seed, e)
				}
			}
		}
	}
}

// Lowering a limit never adds an accusation.
func TestLoweredLimitsAccuseNothing(t *testing.T) {
	for _, file := range shared(t, "captures/litellm-1.82.3-storm.pcap", "captures/litellm-1.82.3-session.pcap") {
		records := open(t, file)
		whole := rulestest.Judge(records, hop.Config{})
		fields := reflect.TypeFor[decode.Limits]()
		for i := range fields.NumField() {
			for _, part := range []int64{2, 64, 1 << 62} {
				lim := decode.Limits{}.WithDefaults()
				f := reflect.ValueOf(&lim).Elem().Field(i)
				low := max(f.Int()/part, 1)
				if f.Type() == reflect.TypeFor[time.Duration]() && low == 1 {
					low = int64(time.Millisecond)
				}
				f.SetInt(low)
				for _, e := range rulestest.Added(whole, rulestest.Judge(records, hop.Config{Limits: lim})) {
					t.Errorf("%s, %s %d: %s", filepath.Base(file), fields.Field(i).Name, low, e)
				}
			}
		}
	}
}

var secretExpr = []*regexp.Regexp{
	regexp.MustCompile(`(?i)(?:authorization|x-litellm-api-key|x-mcp-auth|x-mcp-[a-z0-9_]+-(?:authorization|api-key)|x-api-key|cookie|set-cookie|mcp-session-id): ?(?:Bearer |Basic |token )*([^\r\n]{8,})`),
	regexp.MustCompile(`(eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*)`),
	regexp.MustCompile(`"(?:access_token|refresh_token|client_secret|auth_value|api_key)" ?: ?"([^"]{8,})"`),
}

// secrets are the tokens that a capture holds in clear.
func secrets(records []capture.Record) []string {
	var text bytes.Buffer
	for _, r := range records {
		switch {
		case r.Packet != nil:
			text.Write(r.Packet.Data)
			text.WriteString("\r\n")
		case r.Entry != nil:
			for _, q := range [][]capture.Field{r.Entry.Request, r.Entry.Response} {
				for _, f := range q {
					fmt.Fprintf(&text, "%s: %s\r\n", f.Name, f.Value)
				}
			}
			if r.Entry.Body != nil {
				text.Write(r.Entry.Body.Data)
			}
		}
	}
	found := map[string]bool{}
	for _, e := range secretExpr {
		for _, m := range e.FindAllSubmatch(text.Bytes(), -1) {
			found[strings.TrimSpace(string(m[1]))] = true
		}
	}
	out := make([]string, 0, len(found))
	for s := range found {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

// No token that a capture holds stands in what is reported of it.
func TestNoSecretIsReported(t *testing.T) {
	for _, file := range shared(t, "captures/*.pcap", "har/*.har") {
		records := open(t, file)
		tokens := secrets(records)
		if len(tokens) == 0 && !strings.Contains(file, "tls") && !strings.Contains(file, "sanitized") {
			t.Errorf("%s: no token was found in it, so that the test shows nothing", filepath.Base(file))
		}
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		for _, v := range rulestest.Judge(records, hop.Config{}) {
			v.Finding.Rule, v.Finding.Severity = v.Rule.ID, v.Rule.Severity
			for _, o := range []any{report.CaseOf(v.Case, v.Finding), report.FindingOf(v.Case, v.Finding), v.Finding} {
				if err := enc.Encode(o); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, s := range tokens {
			if i := strings.Index(out.String(), s); i >= 0 {
				t.Errorf("%s: %q stands in the report: ...%.200s", filepath.Base(file), s, out.String()[max(i-80, 0):])
			}
		}
	}
}
