package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// A step is one of the workflow's.
type step struct {
	Name string `yaml:"name"`
	Uses string `yaml:"uses"`
	If   string `yaml:"if"`
	Run  string `yaml:"run"`
}

// steps reads the workflow of samples/ci.
func steps(t *testing.T) []step {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "samples", "ci", "mcp401.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var flow struct {
		Jobs map[string]struct{ Steps []step } `yaml:"jobs"`
	}
	if err := yaml.Unmarshal(b, &flow); err != nil {
		t.Fatal(err)
	}
	return flow.Jobs["empty-lists"].Steps
}

// stubs stand for what needs root, a network or a gateway: sudo runs its
// command, tcpdump gives the sample of that test when the gateway is used and
// ends when it is told to.
var stubs = map[string]string{
	"bin/sudo": `#!/bin/sh
exec "$@"
`,
	"bin/tcpdump": `#!/bin/sh
case " $* " in *" -w - tcp port 4000 "*) ;; *) echo "tcpdump: $*" >&2; exit 1;; esac
trap 'echo "9 packets captured" >&2; exit 0' TERM
echo "tcpdump: listening on any" >&2
for i in $(seq 1200); do
	if [ -f used ]; then
		cat "$SAMPLE"
		rm used
	fi
	sleep 0.05
done
`,
	"test-gateway.sh": `#!/bin/sh
: > used
`,
}

// The steps of the workflow are run as the runner runs them, on a capture with
// the fault, on one without, and with a baseline that has it.
func TestCI(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash: the steps of the workflow cannot be run")
	}
	top, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	fault := filepath.Join(top, "samples", "swallowed-401-token-expired")
	for _, c := range []struct {
		name, sample, baseline string
		fails                  bool
	}{
		{"hidden", fault, "", true},
		{"healthy", filepath.Join(top, "samples", "surfaced-auth"), "", false},
		{"known", fault, filepath.Join(fault, "report.json"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write := func(name, text string) {
				t.Helper()
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o777); err != nil {
					t.Fatal(err)
				}
			}
			for name, text := range stubs {
				write(name, text)
			}
			write("temp/.keep", "")
			if err := os.Symlink(top, filepath.Join(dir, "mcp401")); err != nil {
				t.Skipf("no symbolic link: %v", err)
			}
			if c.baseline != "" {
				b, err := os.ReadFile(c.baseline)
				if err != nil {
					t.Fatal(err)
				}
				write(".github/mcp401-baseline.json", string(b))
			}
			failed := ""
			for _, s := range steps(t) {
				if s.Run == "" {
					continue
				}
				if failed != "" && s.If != "always()" {
					t.Errorf("%s is left out after %s failed", s.Name, failed)
				}
				cmd := exec.Command(bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", s.Run)
				cmd.Dir = dir
				cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "GATEWAY_PORT=4000", "UPSTREAMS=",
					"RUNNER_TEMP="+filepath.Join(dir, "temp"), "GITHUB_STEP_SUMMARY="+filepath.Join(dir, "summary.md"), "SAMPLE="+filepath.Join(c.sample, "capture.pcap"))
				var out bytes.Buffer
				cmd.Stdout, cmd.Stderr = &out, &out
				if err := cmd.Run(); err != nil {
					failed = s.Name
					if failed != "Fail on what is hidden" || !c.fails {
						t.Fatalf("%s: %v\n%s", s.Name, err, out.String())
					}
				}
			}
			if c.fails != (failed != "") {
				t.Errorf("the job fails: %v", failed != "")
			}
			var sarif struct {
				Version string
				Runs    []struct{ Results []any }
			}
			b, err := os.ReadFile(filepath.Join(dir, "mcp401.sarif"))
			if err != nil || json.Unmarshal(b, &sarif) != nil || sarif.Version != "2.1.0" || len(sarif.Runs) != 1 {
				t.Errorf("no SARIF: %v\n%s", err, b)
			}
			summary, err := os.ReadFile(filepath.Join(dir, "summary.md"))
			if err != nil || c.fails != strings.Contains(string(summary), "swallowed-401") && c.baseline == "" {
				t.Errorf("the summary: %v\n%s", err, summary)
			}
		})
	}
}
