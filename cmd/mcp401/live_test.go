package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"mcp401/capture/filter"
	"mcp401/cmd/internal/cli"
	"mcp401/samples"
)

const liveDir = "../../samples/live"

func liveFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(liveDir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// found is the path of a program; without it the test is skipped.
func found(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("no %s: nothing is checked with it", program)
	}
	return path
}

// A container is what the manifests say of one, and nothing else may be said.
type container struct {
	Name, Image string
	Args        []string
	Env         []struct {
		Name, Value string
		ValueFrom   struct {
			FieldRef struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
		HostPort      int `yaml:"hostPort"`
	}
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
		ReadOnly  bool   `yaml:"readOnly"`
	} `yaml:"volumeMounts"`
	Resources       struct{ Requests, Limits struct{ CPU, Memory string } }
	SecurityContext struct {
		RunAsNonRoot             bool `yaml:"runAsNonRoot"`
		RunAsUser                int  `yaml:"runAsUser"`
		RunAsGroup               int  `yaml:"runAsGroup"`
		ReadOnlyRootFilesystem   bool `yaml:"readOnlyRootFilesystem"`
		AllowPrivilegeEscalation bool `yaml:"allowPrivilegeEscalation"`
		Capabilities             struct{ Drop, Add []string }
		SeccompProfile           struct{ Type string } `yaml:"seccompProfile"`
	} `yaml:"securityContext"`
}

func (c container) env(name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

// containers reads those of a manifest, by name.
func containers(t *testing.T, name string) map[string]container {
	t.Helper()
	list := map[string]container{}
	docs := yaml.NewDecoder(strings.NewReader(liveFile(t, name)))
	for {
		var doc struct {
			Spec struct {
				Template struct {
					Spec struct{ Containers []yaml.MapSlice }
				}
			}
		}
		if err := docs.Decode(&doc); err == io.EOF {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		for _, raw := range doc.Spec.Template.Spec.Containers {
			b, err := yaml.Marshal(raw)
			if err != nil {
				t.Fatal(err)
			}
			var c container
			if err := yaml.UnmarshalWithOptions(b, &c, yaml.Strict()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			list[c.Name] = c
		}
	}
}

// commands is every command line of mcp401 in samples/live, by where it stands.
func commands(t *testing.T) map[string][]string {
	t.Helper()
	list := map[string][]string{}
	for _, unit := range []string{"mcp401.service", "network.conf"} {
		for _, m := range regexp.MustCompile(`(?m)^ExecStart=\S*mcp401 (.*)$`).FindAllStringSubmatch(liveFile(t, unit), -1) {
			list[unit] = strings.Fields(m[1])
		}
	}
	for _, manifest := range []string{"kubernetes/sidecar.yaml", "kubernetes/daemonset.yaml"} {
		args := slices.Clone(containers(t, manifest)["mcp401"].Args)
		for i, a := range args {
			args[i] = strings.ReplaceAll(a, "$(NODE_IP)", "127.0.0.1") // Kubernetes does that
		}
		list[manifest] = args
	}
	var cmd []string
	if m := regexp.MustCompile(`(?m)^CMD (\[.*\])$`).FindStringSubmatch(liveFile(t, "Dockerfile")); m == nil || json.Unmarshal([]byte(m[1]), &cmd) != nil {
		t.Error("Dockerfile: no CMD")
	}
	list["Dockerfile"] = cmd
	readme := strings.ReplaceAll(liveFile(t, "README.md"), "\\\n", " ")
	for i, m := range regexp.MustCompile(`(?m)^(?:\S+=\S+ |docker run .*|ExecStart=/usr/local/bin/)?\s*mcp401\s+(live .*)$`).FindAllStringSubmatch(readme, -1) {
		line := regexp.MustCompile(`"\$\(.*\)"`).ReplaceAllString(m[1], "1")
		list["README.md "+strconv.Itoa(i+1)] = strings.Fields(line)
	}
	// What is proposed in comments as a filter is one.
	for _, file := range []string{"mcp401.service", "kubernetes/daemonset.yaml"} {
		m := regexp.MustCompile(`(?m)(?:as in: |^ +#- )(port .*)$`).FindStringSubmatch(liveFile(t, file))
		if m == nil {
			t.Errorf("%s proposes no filter", file)
			continue
		}
		list[file+", the filter proposed"] = []string{"live", m[1]}
	}
	if len(list) < 13 {
		t.Errorf("%d commands", len(list))
	}
	return list
}

// Every command that the files run is one: its flags and their values are taken,
// and its filter is a filter. A file stands for the interface.
func TestLiveCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tour.pcap")
	if err := os.WriteFile(file, samples.Tour, 0o666); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "gateway.keys")
	if err := os.WriteFile(keys, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	sink := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer sink.Close()
	for where, line := range commands(t) {
		if code := cli.Main(append(slices.Clone(line), "--help"), nil, io.Discard, io.Discard); code != 0 {
			t.Errorf("%s: mcp401 %q is refused", where, line)
		}
		args, words := []string{line[0], "--read", file, "--fail-on", "never"}, []string{}
		for i := 1; i < len(line); i++ {
			name, value, ok := strings.Cut(line[i], "=")
			if !strings.HasPrefix(name, "--") {
				words = append(words, strings.Fields(line[i])...)
				continue
			}
			if !ok {
				i++
				value = line[i]
			}
			switch name {
			case "--interface", "--netns", "--fail-on":
				continue
			case "--metrics":
				value = "127.0.0.1:0"
			case "--keylog":
				value = keys
			case "--otlp":
				value = sink.URL
			case "--write":
				value = filepath.Join(dir, "calls.pcapng")
			}
			args = append(args, name, value)
		}
		var errs bytes.Buffer
		if code := cli.Main(args, nil, io.Discard, &errs); code != 0 || errs.Len() > 0 {
			t.Errorf("%s: %q: status %d, %s", where, args, code, errs.String())
		}
		if len(words) > 0 {
			if _, err := filter.Compile(strings.Join(words, " ")); err != nil {
				t.Errorf("%s: the filter %q: %v", where, words, err)
			}
		}
	}
}

// The manifests give what is needed and no more, and their parts agree.
func TestLiveManifests(t *testing.T) {
	for _, manifest := range []string{"kubernetes/sidecar.yaml", "kubernetes/daemonset.yaml"} {
		c := containers(t, manifest)["mcp401"]
		sec := c.SecurityContext
		if !sec.RunAsNonRoot || sec.RunAsUser == 0 || sec.RunAsGroup == 0 || !sec.ReadOnlyRootFilesystem || sec.SeccompProfile.Type != "RuntimeDefault" ||
			!slices.Equal(sec.Capabilities.Drop, []string{"ALL"}) || !slices.Equal(sec.Capabilities.Add, []string{"NET_RAW"}) {
			t.Errorf("%s: %+v", manifest, sec)
		}
		// A file capability is of no use without.
		if !sec.AllowPrivilegeEscalation {
			t.Errorf("%s: privileges cannot grow at exec", manifest)
		}
		if c.Resources.Limits.CPU == "" || !above(t, c.Resources.Limits.Memory, c.env("GOMEMLIMIT")) || !above(t, c.env("GOMEMLIMIT"), c.Resources.Requests.Memory) {
			t.Errorf("%s: resources %+v, GOMEMLIMIT %s", manifest, c.Resources, c.env("GOMEMLIMIT"))
		}
		args := strings.Join(c.Args, "\n")
		if len(c.Ports) != 1 || !regexp.MustCompile(`(?m)^--metrics=.*:`+strconv.Itoa(c.Ports[0].ContainerPort)+`$`).MatchString(args) ||
			!strings.Contains(liveFile(t, manifest), `prometheus.io/port: "`+strconv.Itoa(c.Ports[0].ContainerPort)+`"`) {
			t.Errorf("%s: the port of the metrics: %+v, %s", manifest, c.Ports, args)
		}
		if len(c.VolumeMounts) != 1 || !c.VolumeMounts[0].ReadOnly || !strings.Contains(args, "--keylog="+c.VolumeMounts[0].MountPath+"/") {
			t.Errorf("%s: the keys: %+v, %s", manifest, c.VolumeMounts, args)
		}
	}
	both := containers(t, "kubernetes/sidecar.yaml")
	if keys := both["litellm"].env("SSLKEYLOGFILE"); keys == "" || !slices.Contains(both["mcp401"].Args, "--keylog="+keys) || both["litellm"].VolumeMounts[0].Name != both["mcp401"].VolumeMounts[0].Name {
		t.Errorf("the gateway writes its keys to %q", keys)
	}
	for name := range both {
		if name == "mcp401" && !strings.HasSuffix(both[name].Image, ":"+cli.Version) {
			t.Errorf("image %s is not of version %s", both[name].Image, cli.Version)
		}
	}
	validate := found(t, "kubernetes-validate")
	for _, manifest := range []string{"kubernetes/sidecar.yaml", "kubernetes/daemonset.yaml"} {
		if out, err := exec.Command(validate, "--strict", filepath.Join(liveDir, manifest)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", manifest, err, out)
		}
	}
}

// above compares amounts of memory.
func above(t *testing.T, a, b string) bool {
	t.Helper()
	bytes := func(s string) int {
		n := strings.TrimRight(strings.TrimSuffix(s, "B"), "GMi")
		v, err := strconv.Atoi(n)
		if err != nil {
			t.Errorf("%q is no amount of memory", s)
		}
		if strings.Contains(s, "G") {
			v <<= 10
		}
		return v
	}
	return bytes(a) > bytes(b)
}

// The image holds the binary that the README builds: static, with the right to
// capture, and run by nobody.
func TestLiveImage(t *testing.T) {
	text := liveFile(t, "Dockerfile")
	m := regexp.MustCompile(`(?m)^RUN CGO_ENABLED=0 (go build .*) -o (\S+) (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatal("no build")
	}
	if command := "CGO_ENABLED=0 " + m[1] + " " + m[3] + "\n"; !strings.Contains(liveFile(t, "README.md"), command) {
		t.Errorf("README.md does not build by %q", command)
	}
	stages := strings.Split(text, "\nFROM ")
	last := stages[len(stages)-1]
	if !strings.HasPrefix(last, "scratch\n") || !strings.Contains(last, " "+m[2]+" /mcp401\n") || !strings.Contains(last, "\nENTRYPOINT [\"/mcp401\"]\n") ||
		!regexp.MustCompile(`\nUSER [1-9][0-9]+:[1-9][0-9]+\n`).MatchString(last) || !strings.Contains(text, "\nRUN setcap cap_net_raw+ep "+m[2]+"\n") {
		t.Errorf("the last stage:\n%s", last)
	}
	mod, err := os.ReadFile("../../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if !strings.Contains(text, "\nFROM golang:"+string(version[1])+" AS build\n") {
		t.Errorf("it is not built with Go %s", version[1])
	}
	binary := filepath.Join(t.TempDir(), "mcp401")
	build := exec.Command("sh", "-c", m[1]+" -o "+binary+" "+m[3])
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(binary)
	if err != nil {
		t.Skipf("no ELF here: %v", err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("the binary is not static")
		}
	}
}

// The README names every file, every alert, and every attribute of a trace.
func TestLiveReadme(t *testing.T) {
	readme := liveFile(t, "README.md")
	err := filepath.WalkDir(liveDir, func(path string, d fs.DirEntry, err error) error {
		name, _ := filepath.Rel(liveDir, path)
		if err == nil && !d.IsDir() && name != "README.md" && !strings.Contains(readme, "`"+filepath.ToSlash(name)+"`") {
			t.Errorf("%s is not named", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^ *- alert: (\S+)$`).FindAllStringSubmatch(liveFile(t, "alerts.yaml"), -1) {
		if !strings.Contains(readme, "\n| `"+m[1]+"` |") {
			t.Errorf("the alert %s is not told of", m[1])
		}
	}
	source, err := os.ReadFile("../internal/live/spans.go")
	if err != nil {
		t.Fatal(err)
	}
	names := func(text, quote string) []string {
		var list []string
		for _, m := range regexp.MustCompile(quote+`(mcp401\.[a-z_.]+)`+quote).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		slices.Sort(list)
		return slices.DeleteFunc(slices.Compact(list), func(s string) bool { return s == "mcp401.service" })
	}
	if sent, told := names(string(source), `"`), names(readme, "`"); !slices.Equal(sent, told) || len(sent) < 20 {
		t.Errorf("sent: %s\ntold: %s", sent, told)
	}
}
