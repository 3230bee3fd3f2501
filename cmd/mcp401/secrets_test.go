package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"mcp401/cmd/internal/cli"
	"mcp401/rules/report"
)

// tokens matches what proves who somebody is, in a pcap and in a HAR.
var tokens = regexp.MustCompile(`(?i)(?:authorization|api-key|cookie)"?(?:: |[^}\n]{0,20}"value": ?")(?:bearer |basic )*([!-~]{6,})`)

// No secret leaves the program: every command over every capture, searched for
// the tokens that the captures hold.
func TestNoSecretLeaves(t *testing.T) {
	var files []string
	for _, pattern := range []string{
		"../../samples/*/capture.*",
		"../../../shared/captures/*.pcap",
		"../../../shared/har/*.har",
	} {
		found, _ := filepath.Glob(pattern)
		if len(found) == 0 {
			t.Logf("nothing is at %s: skipped", pattern)
		}
		files = append(files, found...)
	}
	// What is posted elsewhere is searched too.
	var mu sync.Mutex
	var posted bytes.Buffer
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(&posted, r.Body)
	}))
	defer sink.Close()
	sent := 0
	commands := [][]string{{"live", "--otlp", sink.URL, "--webhook", sink.URL, "-r"}, {"show"}, {"show", "--format", "jsonl"}, {"show", "--all"}, {"show", "--all", "--format", "jsonl"}}
	for _, f := range report.Formats {
		commands = append(commands, []string{"analyze", "--format", f.Name})
	}
	held := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		secrets := map[string]bool{}
		for _, m := range tokens.FindAllSubmatch(b, -1) {
			secret := strings.Trim(string(m[1]), `"\,;`)
			if len(secret) >= 6 && !strings.EqualFold(secret, "bearer") {
				secrets[secret] = true
			}
		}
		held += len(secrets)
		for _, args := range commands {
			var out, errs bytes.Buffer
			cli.Main(append(args[:len(args):len(args)], file), nil, &out, &errs)
			mu.Lock()
			sent += posted.Len()
			io.Copy(&out, &posted)
			mu.Unlock()
			for secret := range secrets {
				if bytes.Contains(out.Bytes(), []byte(secret)) || bytes.Contains(errs.Bytes(), []byte(secret)) {
					t.Errorf("%q over %s prints a secret of %d bytes that begins with %.3s", args, file, len(secret), secret)
				}
			}
		}
	}
	if sent == 0 {
		t.Error("nothing is posted: the test proves nothing of it")
	}
	if held == 0 {
		t.Error("no capture holds a token: the test proves nothing")
	}
	t.Logf("%d files, %d tokens", len(files), held)
}
