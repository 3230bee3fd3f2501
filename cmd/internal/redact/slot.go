package redact

import (
	"slices"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/inet"
)

// A slot is a frame that was read and not written yet: TCP holds what it
// carries, and only when that is told it is known how long the frame becomes.
// All frames behind it wait as well, since their order stays.
type slot struct {
	num   int // of the frame, or of the one before an extra one
	time  time.Time
	kind  capture.LinkType
	iface int
	extra bool // it was not captured

	data   []byte // the packet, where it is masked in place
	length int
	f      *frame

	loss *capture.Loss // no frame, but what the capture lost before this point

	r       *remake // the connection, where it is made anew
	d       decode.Dir
	link    []byte
	options []byte // of TCP
	flags   uint8
	window  uint16
	ack     uint32 // as captured
	end     uint32 // the sequence number behind its bytes, as captured
	some    bool   // it carries bytes
	stray   uint32 // how far its sequence number was from the expected one
	pieces  []*piece
}

// The bounds of what waits.
const (
	mostSlots = 1 << 15
	mostSlept = 16 << 20
	slotCost  = 256              // bytes of memory that a slot takes beside its data
	patience  = 11 * time.Second // more than TCP waits for a segment that is missing
)

// slot returns the frame of that number if it waits.
func (p *packets) slot(num int) *slot {
	i, _ := slices.BinarySearchFunc(p.queue, num, func(k *slot, num int) int { return k.num - num })
	if i == len(p.queue) || p.queue[i].num != num || p.queue[i].extra {
		return nil
	}
	return p.queue[i]
}

func (p *packets) push(k *slot) {
	p.queue = append(p.queue, k)
	p.waits += len(k.data) + slotCost
}

// settled reports whether it is known what a frame carries.
func (k *slot) settled() bool {
	return k.r == nil || k.extra || k.r.over || !k.some || int32(k.end-k.r.sides[k.d].next) <= 0
}

// drain writes the frames that need not wait any longer.
func (p *packets) drain(now time.Time, all bool) error {
	n := 0
	for n < len(p.queue) {
		k := p.queue[n]
		if !all && !k.settled() && len(p.queue)-n <= mostSlots && p.waits <= mostSlept && now.Sub(k.time) < patience {
			break
		}
		p.queue[n] = nil
		n++
		p.waits -= len(k.data) + slotCost
		if err := p.write(k); err != nil {
			return err
		}
	}
	p.queue = p.queue[n:] // not moved: where a thousand wait, one may go at a time
	return nil
}

func (p *packets) write(k *slot) error {
	if k.loss != nil {
		p.loss(*k.loss, k.time)
		return nil
	}
	if k.r != nil {
		if k.extra {
			p.numbers.inserted = append(p.numbers.inserted, k.num)
		}
		return k.r.send(k)
	}
	p.data = append(p.data[:0], k.data...)
	at, err := p.record(k.time, k.kind, k.iface, k.length)
	if err != nil || k.f == nil {
		return err
	}
	k.f.placed(at)
	return nil
}

// arrive makes the slot of a packet whose connection is made anew.
func (r *remake) arrive(rec capture.Record, s *inet.Segment) *slot {
	d := r.dir(s)
	m := &r.sides[d]
	m.link, _ = linkHeader(rec.Packet, m.src.Addr().Is4())
	m.kind, m.iface, m.window = rec.Packet.Link, rec.Packet.Interface, s.Window
	begin := s.Seq
	if s.Flags&inet.SYN != 0 {
		begin++
	}
	if !m.based {
		m.based, m.base, m.next = true, begin, begin
	}
	k := &slot{
		num: rec.Num, time: rec.Time, kind: m.kind, iface: m.iface, r: r, d: d, link: m.link,
		flags: s.Flags &^ (inet.FIN | inet.PSH), window: s.Window, ack: s.Ack,
		end: begin + uint32(len(s.Payload)), some: len(s.Payload) > 0, stray: s.Seq - m.next,
	}
	if head, payload := within(rec.Packet.Data, s); payload >= 0 {
		k.options = options(rec.Packet.Data[head:payload])
	}
	return k
}
