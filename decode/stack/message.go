package stack

import (
	"mcp401/decode"
	"mcp401/decode/httpmsg"
	"mcp401/decode/mcp"
)

// messages is the HTTP messages that are not over, for Config.Messages.
type messages map[messageID]*Message

type messageID struct {
	id  httpmsg.ID
	dir decode.Dir
}

// message makes a Message of the events of each HTTP message. after is the
// number of exchanges before those of the stream that e comes from.
func (d *Decoder) message(f *decode.Flow, after uint32, e *httpmsg.Event) {
	if d.msgs == nil {
		d.msgs = messages{}
	}
	id := messageID{e.ID, e.Dir}
	switch e.Kind {
	case httpmsg.Head:
		m := &Message{
			Frame: e.From.Frame, EndFrame: e.At.Frame, Time: e.From.Time, Src: f.Client, Dst: f.Server, Proto: e.Proto,
			Request: e.Dir == decode.ToServer, Method: e.Method, Status: e.Status,
		}
		if e.Proto == "2" {
			m.Stream = e.ID.Stream - after
		}
		if m.Request {
			m.Method, m.URI = mcp.Redact(e.Method), mcp.Redact(e.Target) // any word is a method
		} else {
			m.Src, m.Dst, m.Method = f.Server, f.Client, ""
		}
		if e.Interim {
			d.emit(Event{At: e.At, Flow: f.First, Message: m})
			return
		}
		if len(d.msgs) < d.lim.Flows {
			d.msgs[id] = m
		}
	case httpmsg.Done, httpmsg.Cut:
		m := d.msgs[id]
		if m == nil {
			return // a response that never began
		}
		delete(d.msgs, id)
		m.EndFrame, m.Cut = e.At.Frame, e.Kind == httpmsg.Cut
		d.emit(Event{At: e.At, Flow: f.First, Message: m})
	}
}
