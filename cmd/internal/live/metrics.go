package live

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mcp401/cmd/internal/pipeline"
	"mcp401/rules"
	"mcp401/rules/hop"
)

const (
	labelsKept = 64              // values of the label server; later ones are "(others)": they come from the traffic
	metricWait = 5 * time.Second // for a request's head, and for the answer to be taken
)

// buckets is the upper bounds of latencies in seconds: from a cache in memory
// to the half minute after which clients give up.
var buckets = []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}

// A Metrics counts for Prometheus and answers its requests at /metrics.
type Metrics struct {
	calls, answers *prometheus.CounterVec
	down, up       prometheus.Histogram
	registry       *prometheus.Registry
	beat           atomic.Pointer[pipeline.Beat]
	servers        map[string]bool
	server         *http.Server
	listener       net.Listener
}

// NewMetrics returns counters at zero.
func NewMetrics() *Metrics {
	m := &Metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp401_calls_total", Help: "Downstream calls by verdict; the server is the first at fault, or the first asked."}, []string{"verdict", "cause", "server"}),
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "mcp401_upstream_answers_total", Help: "Upstream attempts of calls by HTTP status, \"none\" without one."}, []string{"server", "status"}),
		down:     latency("mcp401_client_latency_seconds", "From a client's request to its answer."),
		up:       latency("mcp401_upstream_latency_seconds", "From an upstream attempt's first request to its outcome."),
		registry: prometheus.NewRegistry(), servers: map[string]bool{},
	}
	m.beat.Store(&pipeline.Beat{})
	m.registry.MustRegister(m.calls, m.answers, m.down, m.up, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.count("mcp401_packets_total", "Packets read.", func(b *pipeline.Beat) float64 { return float64(b.Records) })
	m.count("mcp401_capture_drops_total", "Packets that the capture itself dropped.", func(b *pipeline.Beat) float64 { return float64(b.Lost.CaptureDrops) })
	m.count("mcp401_connections_total", "Connections that are over.", func(b *pipeline.Beat) float64 { return float64(b.Flows) })
	m.count("mcp401_undecrypted_connections_total", "Of them, TLS that could not be read.", func(b *pipeline.Beat) float64 { return float64(b.Lost.UndecryptedFlows) })
	m.count("mcp401_holes_total", "Holes in connections.", func(b *pipeline.Beat) float64 { return float64(b.Lost.Gaps) })
	m.registry.MustRegister(&bounded{m})
	m.gauge("mcp401_open_calls", "Calls that have no verdict yet.", func(b *pipeline.Beat) float64 { return float64(b.Open) })
	m.gauge("mcp401_open_connections", "Connections that are followed.", func(b *pipeline.Beat) float64 { return float64(b.Connections) })
	return m
}

func latency(name, help string) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
}

func (m *Metrics) count(name, help string, of func(*pipeline.Beat) float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return of(m.beat.Load()) }))
}

func (m *Metrics) gauge(name, help string, of func(*pipeline.Beat) float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return of(m.beat.Load()) }))
}

// Case counts a case. It is for one goroutine, as Beat is.
func (m *Metrics) Case(c *hop.Case, f rules.Finding) {
	server := ""
	if len(f.Servers) > 0 {
		server = f.Servers[0]
	} else if len(c.Attempts) > 0 {
		server = attempted(c.Attempts[0])
	}
	m.calls.WithLabelValues(f.Rule, cmp.Or(string(f.Cause), string(f.Failure)), m.label(server)).Inc()
	if d := took(c.Call.Start(), c.Call.At.Time); d >= 0 {
		m.down.Observe(d.Seconds())
	}
	for _, a := range c.Attempts {
		status := "none"
		if a.Decisive != nil && a.Decisive.Status() >= 100 && a.Decisive.Status() <= 599 {
			status = strconv.Itoa(a.Decisive.Status())
		}
		m.answers.WithLabelValues(m.label(attempted(a)), status).Inc()
		if d := took(a.First.Time, a.Last.Time); d >= 0 {
			m.up.Observe(d.Seconds())
		}
	}
}

// label bounds the values of the label server.
func (m *Metrics) label(server string) string {
	server = visible(server)
	if m.servers[server] {
		return server
	}
	if len(m.servers) >= labelsKept {
		return "(others)"
	}
	m.servers[server] = true
	return server
}

// Beat takes the state of the run.
func (m *Metrics) Beat(b pipeline.Beat) { m.beat.Store(&b) }

// Webhook counts what w could not send, too.
func (m *Metrics) Webhook(w *Webhook) {
	m.count("mcp401_webhook_failures_total", "Messages to the webhook that were lost.", func(*pipeline.Beat) float64 { return float64(w.Failures()) })
}

// Traces counts what t sent and could not send, too.
func (m *Metrics) Traces(t *Traces) {
	m.count("mcp401_otlp_spans_total", "Spans that the OpenTelemetry collector took.", func(*pipeline.Beat) float64 { return float64(t.Sent()) })
	m.count("mcp401_otlp_lost_spans_total", "Spans that were lost.", func(*pipeline.Beat) float64 { return float64(t.Lost()) })
}

// Addr is where requests are answered, after Listen.
func (m *Metrics) Addr() net.Addr { return m.listener.Addr() }

// Listen answers requests at addr, as in ":9401", until Close.
func (m *Metrics) Listen(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) {
			err = op.Err // the address is said already
		}
		return fmt.Errorf("--metrics %s: %w", addr, err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true, MaxRequestsInFlight: 4}))
	m.listener = l
	m.server = &http.Server{Handler: mux, ReadHeaderTimeout: metricWait, ReadTimeout: metricWait, WriteTimeout: metricWait}
	go m.server.Serve(l) // ends with Close
	return nil
}

// Close stops listening.
func (m *Metrics) Close() {
	if m.server != nil {
		m.server.Close()
	}
}
