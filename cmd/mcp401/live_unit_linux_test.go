package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// exposureMost is ten times what systemd-analyze security may say of the unit.
const exposureMost = 14

// set is the values of a setting of a unit, in order.
func set(unit, name string) []string {
	var list []string
	for _, m := range regexp.MustCompile(`(?m)^`+name+`=(.*)$`).FindAllStringSubmatch(unit, -1) {
		list = append(list, m[1])
	}
	return list
}

// systemd takes the unit and its drop-in, and rates it as the README says.
func TestLiveUnit(t *testing.T) {
	analyze := found(t, "systemd-analyze")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(text, "/usr/local/bin/mcp401", self)), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	unit := filepath.Join(dir, "mcp401.service")
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(analyze, append(args, unit)...)
		cmd.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("systemd-analyze %s: %v", args, err)
		}
		return string(out)
	}
	for _, drop := range []string{"", "network.conf"} {
		write("mcp401.service", liveFile(t, "mcp401.service"))
		if drop != "" {
			write("mcp401.service.d/network.conf", liveFile(t, drop))
		}
		if out := run("verify", "--man=no"); strings.Contains(out, "mcp401") || strings.Contains(out, "network.conf") {
			t.Errorf("%s", out)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "mcp401.service.d")); err != nil {
		t.Fatal(err)
	}
	out := run("security", "--no-pager", "--offline=true", fmt.Sprintf("--threshold=%d", exposureMost))
	rated := regexp.MustCompile(`exposure level for \S+ ([0-9.]+)`).FindStringSubmatch(out)
	told := regexp.MustCompile(`rates it ([0-9.]+) \(`).FindStringSubmatch(liveFile(t, "README.md"))
	if rated == nil || told == nil || rated[1] > told[1] {
		t.Errorf("rated %q, and the README says %q", rated, told)
	}
}

// tolerated is calls that the unit's filter refuses and the program does without.
var tolerated = map[string]string{
	"prlimit64": "Go raises its own limit of open files",
}

// The filters of the unit and of its drop-in let through what the program calls,
// from its start to its end.
func TestLiveUnitAllowsWhatIsCalled(t *testing.T) {
	// A user that is nobody, with one capability, in a network namespace.
	as := []string{found(t, "unshare"), "-n", found(t, "setpriv"), "--reuid", "65532", "--regid", "65532", "--clear-groups", "--no-new-privs",
		"--inh-caps", "-all,+net_raw", "--ambient-caps", "+net_raw", "--bounding-set", "-all,+net_raw", found(t, "strace"), "-f", "-qq", "-o"}
	groups := syscallGroups(t, found(t, "systemd-analyze"))
	if os.Geteuid() != 0 {
		t.Skip("only root can become a user with one capability")
	}
	if out, err := exec.Command(as[0], append(as[1:], os.DevNull, "true")...).CombinedOutput(); err != nil {
		t.Skipf("no network namespace to trace in: %v, %s", err, out)
	}
	dir, err := os.MkdirTemp("", "mcp401-unit-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil { // that user writes the trace
		t.Fatal(err)
	}
	binary, err := static()
	if err != nil {
		t.Fatal(err)
	}
	unit := liveFile(t, "mcp401.service")
	allowed := map[string]bool{"execve": true} // systemd's own
	for _, line := range set(unit, "SystemCallFilter") {
		list, deny := strings.CutPrefix(line, "~")
		for _, name := range strings.Fields(list) {
			for _, call := range expand(groups, name) {
				allowed[call] = !deny
			}
		}
	}
	families := strings.Fields(strings.Join(set(unit, "RestrictAddressFamilies"), " "))
	for _, where := range []string{"mcp401.service", "network.conf"} {
		if where == "network.conf" {
			families = append(families, strings.Fields(strings.Join(set(liveFile(t, where), "RestrictAddressFamilies"), " "))...)
		}
		trace := filepath.Join(dir, where+".trace")
		cmd := exec.Command(as[0], append(append(slices.Clone(as[1:]), trace, binary), commands(t)[where]...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		var said bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var text []byte
		for until := time.Now().Add(time.Minute); time.Now().Before(until) && !bytes.Contains(text, []byte("ETH_P_ALL")); time.Sleep(50 * time.Millisecond) {
			text, _ = os.ReadFile(trace)
		}
		time.Sleep(1500 * time.Millisecond) // it looks at its counters once a second
		syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v, %s", where, err, &said)
		}
		if text, err = os.ReadFile(trace); err != nil {
			t.Fatal(err)
		}
		called := map[string]bool{}
		for _, m := range regexp.MustCompile(`(?m)^\d+ +([a-z0-9_]+)\(`).FindAllSubmatch(text, -1) {
			called[string(m[1])] = true
		}
		for call := range called {
			if !allowed[call] && tolerated[call] == "" {
				t.Errorf("%s: %s is called and not allowed", where, call)
			}
		}
		sockets := 0
		for _, m := range regexp.MustCompile(`\bsocket\((AF_[A-Z0-9]+)`).FindAllSubmatch(text, -1) {
			sockets++
			if !slices.Contains(families, string(m[1])) {
				t.Errorf("%s: a socket of %s, and only %s are allowed", where, m[1], families)
			}
		}
		if len(called) < 20 || sockets < 2 || !called["capset"] {
			t.Errorf("%s: %d calls and %d sockets are traced: %s", where, len(called), sockets, &said)
		}
	}
}

// syscallGroups is systemd's groups of system calls, by name.
func syscallGroups(t *testing.T, analyze string) map[string][]string {
	t.Helper()
	out, err := exec.Command(analyze, "--no-pager", "syscall-filter").Output()
	if err != nil {
		t.Fatal(err)
	}
	groups := map[string][]string{}
	group := ""
	for line := range strings.Lines(string(out)) {
		word := strings.TrimSpace(line)
		switch {
		case word == "" || strings.HasPrefix(word, "#"):
		case strings.HasPrefix(line, "@"):
			group = word
		default:
			groups[group] = append(groups[group], word)
		}
	}
	return groups
}

// expand returns the calls of a group, or the call itself.
func expand(groups map[string][]string, name string) []string {
	if !strings.HasPrefix(name, "@") {
		return []string{name}
	}
	var list []string
	for _, member := range groups[name] {
		list = append(list, expand(groups, member)...)
	}
	return list
}
