package live

import (
	"github.com/prometheus/client_golang/prometheus"

	"mcp401/capture"
)

// A State is what a run knows of itself beside its beats. Each function may be
// nil, and is called from any goroutine.
type State struct {
	Capture func() capture.LiveStats               // what the kernel counted
	Links   func() map[string]bool                 // interfaces, and whether they are up
	Written func() (frames, lost, late, cut int64) // of the file that frames are written to
}

// State shows s as metrics too. It is called once.
func (m *Metrics) State(s State) {
	m.registry.MustRegister(&stated{s})
}

var (
	freezes   = described("mcp401_capture_freezes_total", "Times that the ring of the capture was full.")
	linkUp    = described("mcp401_interface_up", "Whether an interface is there and up.", "interface")
	frames    = described("mcp401_written_frames_total", "Frames written to the file of --write.")
	unwritten = described("mcp401_write_lost_frames_total", "Frames of calls that could not be written.")
	headless  = described("mcp401_write_cut_connections_total", "Connections in the file of --write that begin in the middle.")
	limits    = described("mcp401_limits_total", "Bounds of this program that were hit.", "limit")
)

func described(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// A stated collects a State.
type stated struct{ State }

func (s *stated) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{freezes, linkUp, frames, unwritten, headless} {
		to <- d
	}
}

func (s *stated) Collect(to chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, n float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, n, labels...)
	}
	if s.Capture != nil {
		counter(freezes, float64(s.Capture().Freezes))
	}
	if s.Links != nil {
		for name, up := range s.Links() {
			v := 0.0
			if up {
				v = 1
			}
			to <- prometheus.MustNewConstMetric(linkUp, prometheus.GaugeValue, v, name)
		}
	}
	if s.Written != nil {
		n, lost, late, cut := s.Written()
		counter(frames, float64(n))
		counter(unwritten, float64(lost))
		counter(headless, float64(late+cut))
	}
}

// A bounded collects the limits that were hit, by their code without "limit/".
type bounded struct{ m *Metrics }

func (b *bounded) Describe(to chan<- *prometheus.Desc) { to <- limits }

func (b *bounded) Collect(to chan<- prometheus.Metric) {
	for code, n := range b.m.beat.Load().Limits {
		to <- prometheus.MustNewConstMetric(limits, prometheus.CounterValue, float64(n), code)
	}
}
