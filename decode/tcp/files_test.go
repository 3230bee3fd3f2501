package tcp

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mcp401/capture"
	"mcp401/decode"
	"mcp401/decode/inet"
)

// A frame is one packet of a capture file.
type frame struct {
	at time.Time
	p  capture.Packet
}

// readPcap reads a classic capture file whole; frames refer to its bytes.
func readPcap(t testing.TB, name string) []frame {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) < 24 {
		return nil
	}
	var order binary.ByteOrder = binary.LittleEndian
	if b[0] == 0xa1 {
		order = binary.BigEndian
	}
	unit := time.Microsecond
	switch order.Uint32(b) {
	case 0xa1b2c3d4:
	case 0xa1b23c4d:
		unit = time.Nanosecond
	default:
		return nil
	}
	link := capture.LinkType(order.Uint32(b[20:]))
	var frames []frame
	for b = b[24:]; len(b) >= 16; {
		n := int(order.Uint32(b[8:]))
		if n > len(b)-16 {
			break
		}
		at := time.Unix(int64(order.Uint32(b)), int64(order.Uint32(b[4:]))*int64(unit))
		frames = append(frames, frame{at, capture.Packet{Link: link, Length: int(order.Uint32(b[12:])), Data: b[16 : 16+n : 16+n]}})
		b = b[16+n:]
	}
	return frames
}

// shared finds a folder beside the project, or skips the test.
func shared(t testing.TB, name string) string {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if p := filepath.Join(dir, "..", "shared", name); exists(p) && exists(filepath.Join(dir, "go.mod")) {
			return p
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Skipf("no folder ../shared/%s beside the project", name)
		}
		dir = up
	}
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// replay gives frames to a table.
func replay(frames []frame, lim decode.Limits, open func(decode.Flow) decode.Conn) Stats {
	table := NewTable(lim, open, nil)
	dec := inet.New(lim, nil)
	var at decode.Mark
	for i := range frames {
		at = decode.Mark{Frame: i + 1, Time: frames[i].at}
		if s, ok := dec.Segment(at, &frames[i].p); ok {
			table.Segment(at, &s)
		}
	}
	table.Close(at)
	return table.Stats()
}
