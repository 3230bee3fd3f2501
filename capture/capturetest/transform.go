package capturetest

import (
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"mcp401/capture"
)

// number counts the frames anew. Records other than packets and entries take
// the number of the last frame before them.
func number(records []capture.Record) []capture.Record {
	out := slices.Clone(records)
	n := 0
	for i := range out {
		if out[i].Packet != nil || out[i].Entry != nil {
			n++
		}
		out[i].Num = n
	}
	return out
}

// Double returns every packet twice, as a capture of all interfaces does. The
// copy is 2 µs younger and shares the Packet.
func Double(records []capture.Record) []capture.Record {
	out := make([]capture.Record, 0, 2*len(records))
	for _, r := range records {
		out = append(out, r)
		if r.Packet != nil {
			r.Time = r.Time.Add(2 * time.Microsecond)
			out = append(out, r)
		}
	}
	return number(out)
}

// Reorder moves about a third of the packets up to window places later, as far
// as they stay within 2 ms, and leaves the times in their places: what a
// capture of several queues looks like. The same seed gives the same order.
func Reorder(records []capture.Record, seed uint64, window int) []capture.Record {
	out := slices.Clone(records)
	rng := rand.New(rand.NewPCG(seed, 0))
	for i := 0; i < len(out); i++ {
		j := i + 1 + rng.IntN(max(window, 1))
		if rng.IntN(3) != 0 || j >= len(out) || out[j].Time.Sub(out[i].Time) >= 2*time.Millisecond || !packets(out[i:j+1]) {
			continue
		}
		moved := out[i].Packet
		for k := i; k < j; k++ {
			out[k].Packet = out[k+1].Packet
		}
		out[j].Packet = moved
		i = j // no packet moves twice, or one could travel far
	}
	return number(out)
}

func packets(records []capture.Record) bool {
	return !slices.ContainsFunc(records, func(r capture.Record) bool { return r.Packet == nil })
}

// Drop leaves out each packet with that probability. The same seed leaves out
// the same ones.
func Drop(records []capture.Record, seed uint64, rate float64) []capture.Record {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]capture.Record, 0, len(records))
	for _, r := range records {
		if r.Packet == nil || rng.Float64() >= rate {
			out = append(out, r)
		}
	}
	return number(out)
}

// Mix merges other records by time. The times of the others are stretched so
// that they begin and end with the records.
func Mix(records, other []capture.Record) []capture.Record {
	if len(records) == 0 || len(other) == 0 {
		return number(append(slices.Clone(records), other...))
	}
	begin, span := extent(records)
	from, theirs := extent(other)
	out := slices.Clone(records)
	for _, r := range other {
		at := r.Time.Sub(from)
		if theirs > 0 {
			at = time.Duration(float64(at) / float64(theirs) * float64(span))
		}
		r.Time = begin.Add(at)
		out = append(out, r)
	}
	slices.SortStableFunc(out, func(a, b capture.Record) int { return a.Time.Compare(b.Time) })
	return number(out)
}

func extent(records []capture.Record) (begin time.Time, span time.Duration) {
	begin, end := records[0].Time, records[0].Time
	for _, r := range records {
		if r.Time.Before(begin) {
			begin = r.Time
		}
		if r.Time.After(end) {
			end = r.Time
		}
	}
	return begin, end.Sub(begin)
}

// Split cuts records into n captures that follow each other, as a rotating
// tcpdump writes them. The numbers stay those of the whole.
func Split(records []capture.Record, n int) [][]capture.Record {
	out := make([][]capture.Record, n)
	for i := range out {
		out[i] = records[len(records)*i/n : len(records)*(i+1)/n]
	}
	return out
}

// Collect reads a source to its end and closes it. Other than a source's own,
// the records stay valid.
func Collect(src capture.Source) ([]capture.Record, error) {
	defer src.Close()
	var out []capture.Record
	for {
		r, err := src.Next()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		switch {
		case r.Packet != nil:
			p := *r.Packet
			p.Data = slices.Clone(p.Data)
			r.Packet = &p
		case r.Secret != nil:
			r.Secret = &capture.Secret{Lines: slices.Clone(r.Secret.Lines)}
		case r.Loss != nil:
			l := *r.Loss
			r.Loss = &l
		}
		out = append(out, r)
	}
}
