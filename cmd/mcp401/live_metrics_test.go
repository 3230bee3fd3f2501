package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"mcp401/capture"
	"mcp401/cmd/internal/cli"
	"mcp401/cmd/internal/live"
	"mcp401/cmd/internal/pipeline"
	"mcp401/rules"
	"mcp401/rules/all"
	"mcp401/rules/report"
	"mcp401/samples"
)

// exposition is what the program shows to Prometheus with everything in use.
func exposition(t *testing.T) string {
	t.Helper()
	m := live.NewMetrics()
	if err := m.Listen("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	w, err := live.NewWebhook("http://127.0.0.1:9/", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close(0)
	m.Webhook(w)
	traces, err := live.NewTraces("http://127.0.0.1:9/", cli.Version)
	if err != nil {
		t.Fatal(err)
	}
	defer traces.Close(0)
	m.Traces(traces)
	m.State(live.State{
		Capture: func() capture.LiveStats { return capture.LiveStats{} },
		Links:   func() map[string]bool { return map[string]bool{"lo": true} },
		Written: func() (frames, lost, late, cut int64) { return },
	})
	m.Beat(pipeline.Beat{Limits: map[string]int{"held": 1}})
	src, err := capture.Open([]string{"-"}, bytes.NewReader(samples.Tour), capture.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := pipeline.Config{Live: &pipeline.Live{Case: m.Case}}
	if _, err := pipeline.Run(context.Background(), src, cfg, func(report.Object) error { return nil }); err != nil {
		t.Fatal(err)
	}
	answer, err := http.Get("http://" + m.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// expressions is what is asked of Prometheus, by where.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	list := map[string]string{}
	var rules struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(liveFile(t, "alerts.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			list["alert "+r.Alert] = r.Expr
		}
	}
	var board struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ RefID, Expr string }
		}
	}
	if err := json.Unmarshal([]byte(liveFile(t, "grafana-dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	variables := []string{"$__range", "6h"}
	for _, v := range board.Templating.List {
		list["variable "+v.Name] = v.Definition
		variables = append(variables, "$"+v.Name, ".*")
	}
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			list["panel "+p.Title+" "+target.RefID] = strings.NewReplacer(variables...).Replace(target.Expr)
		}
	}
	if len(list) < 30 {
		t.Errorf("%d expressions", len(list))
	}
	return list
}

// What the alerts and the dashboard ask for is there: metrics, labels, and the
// verdicts that labels are compared with.
func TestLiveMetricsExist(t *testing.T) {
	have := exposition(t)
	metric := regexp.MustCompile(`\b(?:mcp401|process)_[a-z0-9_]+`)
	label := regexp.MustCompile(`([a-z_]+)=~?"([^"]*)"`)
	grouped := regexp.MustCompile(`\b(?:by|on) \(([a-z_, ]+)\)`)
	fromScrape := []string{"job", "instance", "le"}
	verdict := regexp.MustCompile(`\bverdict=~?"([^"]*)"`)
	for where, expr := range expressions(t) {
		names := metric.FindAllString(expr, -1)
		if len(names) == 0 && !strings.HasPrefix(expr, "up{") {
			t.Errorf("%s asks for no metric: %s", where, expr)
		}
		var labels []string
		for _, m := range label.FindAllStringSubmatch(expr, -1) {
			labels = append(labels, m[1])
		}
		for _, m := range grouped.FindAllStringSubmatch(expr, -1) {
			labels = append(labels, strings.Split(strings.ReplaceAll(m[1], " ", ""), ",")...)
		}
		var series string
		for _, name := range names {
			i := strings.Index(have, "\n"+name)
			if i < 0 || !strings.ContainsAny(have[i+1+len(name):i+2+len(name)], "{ ") {
				t.Errorf("%s: no metric %s", where, name)
				continue
			}
			series += strings.SplitN(have[i+1:], "\n", 2)[0]
		}
		for _, l := range labels {
			if !slices.Contains(fromScrape, l) && !strings.Contains(series, l+`="`) {
				t.Errorf("%s: no label %s in %s", where, l, series)
			}
		}
		for _, m := range verdict.FindAllStringSubmatch(expr, -1) {
			for _, id := range strings.Split(m[1], "|") {
				if !slices.ContainsFunc(all.Rules, func(r rules.Rule) bool { return regexp.MustCompile("^(?:" + id + ")$").MatchString(r.ID) }) {
					t.Errorf("%s: no verdict %s", where, id)
				}
			}
		}
	}
}

// Prometheus reads the rules, the expressions and the configuration, and each
// alert fires when it has to and not before.
func TestLivePrometheus(t *testing.T) {
	promtool := found(t, "promtool")
	check := func(args ...string) {
		t.Helper()
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			if bytes.Contains(out, []byte("field kubernetes_sd_configs not found")) {
				t.Logf("%q: this promtool was built without Kubernetes", args)
				return
			}
			t.Errorf("promtool %q: %v\n%s", args, err, out)
		}
	}
	check("check", "rules", filepath.Join(liveDir, "alerts.yaml"))
	check("check", "config", filepath.Join(liveDir, "prometheus.yaml"))
	check("check", "config", filepath.Join(liveDir, "kubernetes", "prometheus.yaml"))
	check("test", "rules", filepath.Join("testdata", "alerts.yaml"))

	var asked strings.Builder
	asked.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for where, expr := range expressions(t) {
		if !strings.HasPrefix(where, "variable ") {
			fmt.Fprintf(&asked, "  - {record: 'x:x', labels: {where: %q}, expr: %q}\n", where, expr)
		}
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(asked.String()), 0o666); err != nil {
		t.Fatal(err)
	}
	check("check", "rules", file)
}

// Every alert has a test.
func TestLiveAlertsAreTested(t *testing.T) {
	tests, err := os.ReadFile(filepath.Join("testdata", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for where := range expressions(t) {
		if alert, ok := strings.CutPrefix(where, "alert "); ok && !strings.Contains(string(tests), "alertname: "+alert+"\n        exp_alerts:") {
			t.Errorf("no test makes %s fire", alert)
		}
	}
}

// The dashboard can be imported: the data source is asked for, every panel has
// its own place, and says what it shows.
func TestLiveDashboard(t *testing.T) {
	var board struct {
		Inputs []struct{ Name, Type, PluginID string } `json:"__inputs"`
		Panels []struct {
			ID          int
			Type, Title string
			DataSource  struct{ UID string }
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ DataSource struct{ UID string } }
		}
	}
	if err := json.Unmarshal([]byte(liveFile(t, "grafana-dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	if len(board.Inputs) != 1 || board.Inputs[0].PluginID != "prometheus" || board.Inputs[0].Type != "datasource" {
		t.Fatalf("inputs %+v", board.Inputs)
	}
	source := "${" + board.Inputs[0].Name + "}"
	taken := map[[2]int]string{}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d %q", p.ID, p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s stands on %s, or beside the page", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.DataSource.UID != source || len(p.Targets) == 0 || p.Targets[0].DataSource.UID != source {
			t.Errorf("%s asks another source than %s", p.Title, source)
		}
	}
	if len(board.Panels) < 15 {
		t.Errorf("%d panels", len(board.Panels))
	}
}
