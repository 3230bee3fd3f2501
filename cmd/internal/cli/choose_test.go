package cli

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/bpf"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/cmd/internal/pipeline"
	"mcp401/rules/hop"
	"mcp401/rules/report"
	"mcp401/samples"
)

const wholeConfig = `
mcp_servers:
  issues:
    url: "http://127.0.0.1:9101/mcp"
    token_url: https://login.example:8443/token
  files: {url: https://files.example/mcp}
  shell: {command: npx}
model_list:
  - litellm_params: {api_base: "http://10.0.0.9:11434/v1"}
`

// The filter is narrow only where all is known, and it is said why.
func TestChoose(t *testing.T) {
	for _, c := range []struct {
		name     string
		gateways []string
		config   string
		filter   string
		says     string
	}{
		{"nothing", nil, "", "tcp", "the gateway is not named"},
		{"gateway", []string{":4000"}, "", "tcp", "its upstreams are not known"},
		{"config", nil, wholeConfig, "tcp", "the gateway is not named"},
		{"both", []string{":4000", "10.0.0.1:4001"}, wholeConfig, "tcp port 80 or 443 or 4000 or 4001 or 8443 or 9101 or 11434", "litellm.yaml"},
		{"database", []string{":4000"}, wholeConfig + "general_settings: {master_key: x}\ngeneral:\n  database_url: postgres://x\n", "tcp", "database_url"},
		{"in the database", []string{":4000"}, wholeConfig + "general_settings:\n  store_model_in_db: true\n", "tcp", "store_model_in_db"},
		{"not in the database", []string{":4000"}, wholeConfig + "general_settings:\n  store_model_in_db: false\n", "tcp port 80 or 443 or 4000 or 8443 or 9101 or 11434", ""},
		{"environment", []string{":4000"}, "mcp_servers: {secret: {url: os.environ/WHERE}}\n", "tcp", "does not say where secret is"},
		{"port", []string{":4000"}, "mcp_servers: {odd: {url: \"http://h:${PORT}/mcp\"}}\n", "tcp", "has a URL"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := &input{gateways: c.gateways, jobs: 1}
			if c.config != "" {
				in.config = filepath.Join(t.TempDir(), "litellm.yaml")
				if err := os.WriteFile(in.config, []byte(c.config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg, err := in.pipeline()
			if err != nil {
				t.Fatal(err)
			}
			var errs bytes.Buffer
			a := &app{stderr: &errs}
			var w wire
			if err := a.choose(&w, in, &cfg); err != nil {
				t.Fatal(err)
			}
			if got := w.chosen.String(); got != c.filter || !strings.Contains(errs.String(), "mcp401: filter: "+c.filter+", ") || !strings.Contains(errs.String(), c.says) {
				t.Errorf("%s; says %s", got, &errs)
			}
		})
	}
	for _, w := range []wire{{filter: "udp"}, {program: "x"}, {read: "x"}} {
		a := &app{stderr: &bytes.Buffer{}}
		if err := a.choose(&w, &input{}, &pipeline.Config{}); err != nil || w.chosen != nil {
			t.Errorf("%+v: %v", w, err)
		}
	}
}

// A process tells its own ports, and no other's.
func TestListens(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	var want []netip.AddrPort
	for _, at := range []string{"127.0.0.1:0", "[::1]:0", ":0"} {
		l, err := net.Listen("tcp", at)
		if err != nil {
			t.Skip(err)
		}
		defer l.Close()
		end := netip.MustParseAddrPort(l.Addr().String())
		if end.Addr().IsUnspecified() {
			end = netip.AddrPortFrom(netip.Addr{}, end.Port())
		}
		want = append(want, end)
	}
	got, err := listens(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for _, end := range want {
		if !slices.Contains(got, end) {
			t.Errorf("%v is not in %v", end, got)
		}
	}
	if _, err := listens(1 << 30); err == nil || !strings.HasPrefix(err.Error(), "--pid 1073741824: no such file") {
		t.Error(err)
	}
	if elsewhere(os.Getpid()) {
		t.Error("this process is elsewhere")
	}
}

// A filtered source gives the packets that a program keeps.
type filtered struct {
	capture.Source
	programs map[capture.LinkType]*bpf.VM
	choose   func(capture.LinkType) ([]bpf.Instruction, error)
	dropped  int
}

func (f *filtered) Next() (capture.Record, error) {
	for {
		r, err := f.Source.Next()
		if err != nil || r.Packet == nil {
			return r, err
		}
		vm := f.programs[r.Packet.Link]
		if vm == nil {
			program, err := f.choose(r.Packet.Link)
			if err != nil {
				return r, err
			}
			if vm, err = bpf.NewVM(program); err != nil {
				return r, err
			}
			f.programs[r.Packet.Link] = vm
		}
		if n, err := vm.Run(r.Packet.Data); err != nil || n > 0 {
			return r, err
		}
		f.dropped++
	}
}

// judged returns the cases of a capture without their frames, and where its
// gateways and upstreams are.
func judged(t *testing.T, src capture.Source, cfg pipeline.Config) (cases []string, gateways, upstreams map[string]bool) {
	t.Helper()
	gateways, upstreams = map[string]bool{}, map[string]bool{}
	_, err := pipeline.Run(context.Background(), src, cfg, func(o report.Object) error {
		if c := o.Case; c != nil {
			line := fmt.Sprintf("%v %s %s %s %s %s", c.Time, c.Client, c.Path, c.Verdict, c.Cause, c.Confidence)
			gateways[c.Gateway] = true
			for _, u := range c.Upstream {
				upstreams[u.Address] = true
				line += fmt.Sprintf(" %s=%s", u.URL, u.Outcome)
			}
			cases = append(cases, line)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(cases)
	return cases, gateways, upstreams
}

// Of a capture that holds more than a gateway, both filters leave every case as
// it is: any TCP, and the ports that a configuration names.
func TestChosenHidesNothing(t *testing.T) {
	captures, _ := filepath.Glob("../../../../shared/captures/*.pcap")
	if len(captures) == 0 {
		t.Log("../shared/captures is absent: the built-in capture alone")
	}
	for _, name := range append(captures, "-") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			open := func() capture.Source {
				src, err := capture.Open([]string{name}, bytes.NewReader(samples.Tour), capture.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if keys, err := os.ReadFile(strings.TrimSuffix(name, ".pcap") + ".keys"); err == nil {
					return bundle.Keyed(src, [][]byte{keys})
				}
				return src
			}
			want, gateways, upstreams := judged(t, open(), pipeline.Config{})
			text := "mcp_servers:\n"
			for i, at := range slices.Sorted(maps.Keys(upstreams)) {
				text += fmt.Sprintf("  s%d: {url: \"http://%s/mcp\"}\n", i, at)
			}
			config := filepath.Join(t.TempDir(), "litellm.yaml")
			if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for _, in := range []*input{{jobs: 1}, {jobs: 1, config: config, gateways: slices.Sorted(maps.Keys(gateways))}} {
				cfg, err := in.pipeline()
				if err != nil {
					t.Fatal(err)
				}
				var w wire
				a := &app{stderr: &bytes.Buffer{}}
				if err := a.choose(&w, in, &cfg); err != nil {
					t.Fatal(err)
				}
				src := &filtered{Source: open(), programs: map[capture.LinkType]*bpf.VM{}, choose: w.chosen.Program}
				got, _, _ := judged(t, src, pipeline.Config{})
				t.Logf("%s: %d cases, %d packets dropped", w.chosen, len(got), src.dropped)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%s: %s", w.chosen, d)
				}
			}
		})
	}
}

// What is told as it comes is what is told of the whole, where the gateway is
// named: also of a gateway that lists its upstreams before anybody asks it.
func TestLiveTellsTheSame(t *testing.T) {
	captures, _ := filepath.Glob("../../../../shared/captures/*.pcap")
	if len(captures) == 0 {
		t.Log("../shared/captures is absent: the built-in capture alone")
	}
	for _, name := range append(captures, "-") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			open := func() capture.Source {
				src, err := capture.Open([]string{name}, bytes.NewReader(samples.Tour), capture.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if keys, err := os.ReadFile(strings.TrimSuffix(name, ".pcap") + ".keys"); err == nil {
					return bundle.Keyed(src, [][]byte{keys})
				}
				return src
			}
			want, _, _ := judged(t, open(), pipeline.Config{})
			named := hop.Config{Hold: liveHold, Gateways: []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, 4000)}}
			got, _, _ := judged(t, open(), pipeline.Config{Hop: named, Live: &pipeline.Live{}})
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("of %d cases (-whole +live): %s", len(want), d)
			}
			// Not named, a gateway's own first questions may be told as calls; they
			// accuse nobody.
			got, _, _ = judged(t, open(), pipeline.Config{Hop: hop.Config{Hold: liveHold}, Live: &pipeline.Live{}})
			for _, line := range got {
				if !slices.Contains(want, line) && (strings.Contains(line, "swallowed") || strings.Contains(line, "partial") || strings.Contains(line, "without-tools")) {
					t.Errorf("told live only: %s", line)
				}
			}
		})
	}
}
