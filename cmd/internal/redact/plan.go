package redact

import (
	"slices"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/httpmsg"
)

// A plan is what the analysis of the input tells the masking of it: which
// connections have to be made anew, and the keys of TLS. Without it a packet
// could not be written before it is known what its connection comes to.
type plan struct {
	clear bool
	flows []decode.Flow // in order of First; of each that, and its addresses
	keys  []byte        // key log lines, of files and of the capture
}

// mostKeys bounds what is known of keys beforehand: more lines than are
// remembered. What a capture has beyond it is taken when it comes.
const mostKeys = 16 << 20

// flow returns the connection that begins with a frame, if it is made anew.
func (p *plan) flow(first int) (decode.Flow, bool) {
	i, ok := slices.BinarySearchFunc(p.flows, first, func(f decode.Flow, n int) int { return f.First - n })
	if !ok {
		return decode.Flow{}, false
	}
	return p.flows[i], true
}

// look analyses the input. With all, every connection that carries HTTP is
// planned to be made anew.
func look(in string, opt Options, all bool) ([]Judged, plan, error) {
	p := plan{clear: opt.Clear}
	src, err := capture.Open([]string{in}, nil, capture.Options{})
	if err != nil {
		return nil, p, err
	}
	var s capture.Source = keyless{src}
	if opt.Clear {
		p.keys = opt.Keys
		s = &keyed{Source: src, plan: &p, first: len(opt.Keys) > 0}
	}
	marked := map[int]bool{}
	list, err := verdicts(s, func(f *decode.Flow, e *httpmsg.Event) {
		if e.Kind == httpmsg.Head && !marked[f.First] && (all || anew(e)) {
			marked[f.First] = true
			p.flows = append(p.flows, decode.Flow{First: f.First, Client: f.Client, Server: f.Server})
		}
	})
	slices.SortFunc(p.flows, func(a, b decode.Flow) int { return a.First - b.First })
	return list, p, err
}

// anew reports whether a message cannot be masked at its length.
func anew(e *httpmsg.Event) bool {
	if e.Proto == "2" || e.Dir == decode.ToServer && e.Scheme == "https" {
		return true
	}
	coding := codings(e.Header)
	if coding == "" || bodiless(e) {
		return false
	}
	c, known := httpmsg.NewContent(coding, decode.Limits{})
	c.Close()
	return known
}

// keyless leaves the keys of TLS connections out: what is written holds none.
type keyless struct{ capture.Source }

func (k keyless) Next() (capture.Record, error) {
	for {
		r, err := k.Source.Next()
		if err != nil || r.Secret == nil {
			return r, err
		}
	}
}

// keyed gives the keys that are known first, and takes down those that come.
type keyed struct {
	capture.Source
	plan  *plan
	first bool
}

func (k *keyed) Next() (capture.Record, error) {
	if k.first {
		k.first = false
		return capture.Record{Secret: &capture.Secret{Lines: k.plan.keys}}, nil
	}
	r, err := k.Source.Next()
	if err == nil && r.Secret != nil && len(k.plan.keys)+len(r.Secret.Lines) < mostKeys {
		k.plan.keys = append(append(slices.Clip(k.plan.keys), '\n'), r.Secret.Lines...)
	}
	return r, err
}
