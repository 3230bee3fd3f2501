package capture

import (
	"io"
	"time"
)

// A merge yields the records of several files by time. It is a heap of the
// files by their next record; files that are all in order come out in order,
// and where a file is not, its own order is kept.
type merge struct {
	heads   []*head // a heap
	started bool
	all     []*head
	num     int            // the last number given
	ifaces  map[[2]int]int // file and its own interface number -> the number over all
}

// A head is the next record of one file.
type head struct {
	*File
	place int // in the order of the names, which decides at equal times
	rec   Record
	at    time.Time // the record's time, or the last one seen where it has none
}

func newMerge(files []*File) *merge {
	m := &merge{ifaces: map[[2]int]int{}}
	for i, f := range files {
		m.all = append(m.all, &head{File: f, place: i})
	}
	return m
}

func (m *merge) next() (Record, error) {
	if err := m.advance(); err != nil {
		return Record{}, err
	}
	if len(m.heads) == 0 {
		return Record{}, io.EOF
	}
	h := m.heads[0]
	rec := h.rec
	if rec.Packet != nil || rec.Entry != nil {
		m.num++
	}
	rec.Num = m.num
	if rec.Packet != nil {
		rec.Packet.Interface = m.iface(h.place, rec.Packet.Interface)
	}
	if rec.Loss != nil {
		rec.Loss.Interface = m.iface(h.place, rec.Loss.Interface)
	}
	return rec, nil
}

// advance replaces the record that was delivered last. It waits until the next
// call because the record's bytes live in its file's buffer.
func (m *merge) advance() error {
	if m.started {
		if len(m.heads) > 0 {
			h := m.heads[0]
			ok, err := m.pull(h)
			if err != nil {
				return err
			}
			if !ok {
				last := len(m.heads) - 1
				m.heads[0] = m.heads[last]
				m.heads = m.heads[:last]
			}
			m.down(0)
		}
		return nil
	}
	m.started = true
	for _, h := range m.all {
		ok, err := m.pull(h)
		if err != nil {
			return err
		}
		if ok {
			m.heads = append(m.heads, h)
		}
	}
	for i := len(m.heads)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return nil
}

// pull reads the next record of a file; its warnings get the number that the
// merged capture has reached.
func (m *merge) pull(h *head) (bool, error) {
	known := len(h.in.warnings)
	rec, err := h.Next()
	for i := known; i < len(h.in.warnings); i++ {
		h.in.warnings[i].Frame = m.num
	}
	if err == io.EOF {
		h.File.Close()
		return false, nil
	}
	h.rec = rec
	if !rec.Time.IsZero() {
		h.at = rec.Time
	}
	return err == nil, err
}

func (m *merge) down(i int) {
	for {
		least := i
		for c := 2*i + 1; c <= 2*i+2 && c < len(m.heads); c++ {
			if m.heads[c].before(m.heads[least]) {
				least = c
			}
		}
		if least == i {
			return
		}
		m.heads[i], m.heads[least] = m.heads[least], m.heads[i]
		i = least
	}
}

func (h *head) before(o *head) bool {
	if c := h.at.Compare(o.at); c != 0 {
		return c < 0
	}
	return h.place < o.place
}

// Interfaces over all inputs are numbered as they are first seen. A capture
// with more of them is made to hurt; the rest share the last number.
const maxInterfaces = 1 << 16

func (m *merge) iface(place, own int) int {
	key := [2]int{place, own}
	n, ok := m.ifaces[key]
	if !ok {
		n = len(m.ifaces)
		if n >= maxInterfaces {
			return maxInterfaces
		}
		m.ifaces[key] = n
	}
	return n
}
