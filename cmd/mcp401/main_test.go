package main

import (
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"mcp401/capture/capturetest"
)

// atEnd is called when all tests are over.
var atEnd []func()

type tidy struct{ *testing.M }

func (m tidy) Run() int {
	defer func() {
		for _, f := range atEnd {
			f()
		}
	}()
	return m.M.Run()
}

func TestMain(m *testing.M) {
	testscript.Main(tidy{m}, map[string]func(){"mcp401": main})
}

// Each file of testdata is one topic: what is typed, and all that comes back.
func TestScripts(t *testing.T) {
	samples, err := filepath.Abs("../../samples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("SAMPLES", samples)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"examples": examples,
			"status":   status,
			"wrap":     wrap,
		},
		Condition: func(name string) (bool, error) {
			if name == "root" {
				return os.Geteuid() == 0, nil
			}
			return false, errors.New("unknown condition " + name)
		},
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
	})
}

// status N COMMAND... runs a command and wants that exit status.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command...")
	}
	got := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = strings.TrimPrefix(exit.String(), "exit status ")
	}
	if got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// examples COMMAND... runs every example in the help of each command in the
// script's folder. None may fail for another reason than findings.
func examples(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("examples cannot be negated")
	}
	for _, command := range args {
		ts.Check(ts.Exec("mcp401", command, "--help"))
		_, text, ok := strings.Cut(ts.ReadFile("stdout"), "\nExamples:\n")
		if !ok {
			ts.Fatalf("%s: no examples in its help", command)
		}
		text, _, _ = strings.Cut(text, "\n\n")
		for line := range strings.Lines(text) {
			err := ts.Exec("sh", "-c", strings.TrimSpace(line))
			var exit *exec.ExitError
			if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) || ts.ReadFile("stderr") != "" {
				ts.Fatalf("%s: %v\n%s", line, err, ts.ReadFile("stderr"))
			}
			if ts.ReadFile("stdout") == "" && !strings.Contains(line, " -o ") {
				ts.Fatalf("%s: prints nothing", line)
			}
		}
	}
}

// wrap SCRIPT OUT KEYS [http2] writes a conversation as a capture of TLS, and the
// keys of it.
func wrap(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: wrap script out keys [http2]")
	}
	conv, err := capturetest.Parse([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	w := capturetest.Wrap{TLS: tls.VersionTLS13, HTTP2: len(args) > 3}
	c := conv.Wrap(w)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), c.Bytes, 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), c.Keys, 0o600))
}
