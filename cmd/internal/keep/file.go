package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"syscall"
	"time"

	"mcp401/capture"
)

const (
	flushBytes = 256 << 10       // that wait to be written at most
	retryAfter = 5 * time.Second // a file that cannot be written is tried again
)

// A file is the pcapng file that is written, and those before it. Where it
// cannot be written what is given to it is lost and counted, and it is tried
// again after a while.
type file struct {
	cfg   *Config
	stats *Stats
	f     *os.File // nil: it could not be opened
	size  int64    // of the whole blocks in it
	buf   []byte   // whole blocks that follow
	gen   int      // counts sections

	section capture.Section
	ids     map[ifaceKey]uint32
	drops   map[uint32]uint64
	frames  int64 // in buf

	fresh  bool  // it was opened by itself, after a failure
	stuck  error // why it is not written
	said   bool  // somebody was told so
	tried  time.Time
	missed uint64 // frames lost since, to be told in the file
}

type ifaceKey struct {
	number int
	link   capture.LinkType
}

// begin opens the first file.
func (o *file) begin() error {
	if err := o.open(); err != nil {
		return err
	}
	if o.flush(); o.stuck != nil {
		return o.stuck
	}
	return nil
}

// open moves what stands under the name out of the way, and begins a file
// there.
func (o *file) open() error {
	if err := o.shift(); err != nil {
		return err
	}
	f, err := os.OpenFile(o.cfg.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return capture.Nameless(err)
	}
	o.f, o.size, o.stuck = f, 0, nil
	o.head()
	return nil
}

// shift renames NAME to NAME.1, NAME.1 to NAME.2 and so on, as far as files are
// kept; the last one is overwritten.
func (o *file) shift() error {
	info, err := os.Lstat(o.cfg.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return capture.Nameless(err)
	}
	if !info.Mode().IsRegular() {
		return errors.New("not a file")
	}
	if info.Size() == 0 || o.cfg.Count == 1 {
		return capture.Nameless(os.Remove(o.cfg.Name))
	}
	for i := o.cfg.Count - 1; i > 0; i-- {
		err := os.Rename(o.name(i-1), o.name(i))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return capture.Nameless(err)
		}
	}
	return nil
}

// name is that of the i'th file from the newest.
func (o *file) name(i int) string {
	if i == 0 {
		return o.cfg.Name
	}
	return o.cfg.Name + "." + strconv.Itoa(i)
}

// head begins a section.
func (o *file) head() {
	o.gen++
	o.section, o.ids, o.drops = capture.Section{}, map[ifaceKey]uint32{}, map[uint32]uint64{}
	o.buf = o.section.Header(o.buf[:0], o.cfg.Application)
	o.frames = 0
}

// due reports whether the file is so large that the next one should be begun,
// and whether it must be.
func (o *file) due() (due, must bool) {
	n := o.size + int64(len(o.buf))
	return o.stuck == nil && n >= o.cfg.Size, o.stuck == nil && n >= o.cfg.Size+o.cfg.Size/4
}

// rotate begins the next file and reports whether it did. One that was asked
// for is begun although the last one is small.
func (o *file) rotate(asked bool) bool {
	if o.stuck != nil && !asked {
		return false
	}
	o.flush()
	if o.f != nil {
		o.f.Close()
		o.f = nil
	}
	if err := o.open(); err != nil {
		o.fail(err)
		return false
	}
	o.stats.Rotated.Add(1)
	return true
}

func (o *file) iface(number int, link capture.LinkType) uint32 {
	key := ifaceKey{number, link}
	id, ok := o.ids[key]
	if !ok {
		name := ""
		if number < len(o.cfg.Interfaces) {
			name = o.cfg.Interfaces[number]
		}
		o.buf, id = o.section.Interface(o.buf, link, name, o.cfg.Filter, o.cfg.Snap)
		o.ids[key] = id
	}
	return id
}

// ready reports whether there is something to write to.
func (o *file) ready() bool { return o.stuck == nil || o.resume() }

// packet writes a frame.
func (o *file) packet(f *frame) {
	if !o.ready() {
		o.stats.Lost.Add(1)
		o.missed++
		return
	}
	id := o.iface(f.iface, f.link)
	if o.missed > 0 {
		o.drop(id, f.time, o.missed)
		o.missed = 0
	}
	o.buf = o.section.Packet(o.buf, id, f.time, f.data, f.length, f.comments)
	o.frames++
	if len(o.buf) >= flushBytes {
		o.flush()
	}
}

// secrets writes lines of a key log.
func (o *file) secrets(lines []byte) {
	if o.ready() {
		o.buf = o.section.Secrets(o.buf, lines)
	}
}

// dropped writes that the capture lost packets of an interface.
func (o *file) dropped(f *frame) {
	if !o.ready() {
		o.missed += f.lost
		return
	}
	for key, id := range o.ids {
		if key.number == f.iface {
			o.drop(id, f.time, f.lost)
			return
		}
	}
	o.missed += f.lost // told with the first packet
}

func (o *file) drop(id uint32, at time.Time, n uint64) {
	o.drops[id] += n
	o.buf = o.section.Dropped(o.buf, id, at, o.drops[id])
}

// flush writes the blocks that wait. What does not fit is taken back, so that
// the file ends with a whole block.
func (o *file) flush() {
	if o.stuck != nil || len(o.buf) == 0 {
		return
	}
	if err := o.append(); err != nil {
		o.stats.Lost.Add(o.frames)
		o.missed += uint64(o.frames)
		o.fail(err)
		return
	}
	o.stats.Frames.Add(o.frames)
	if o.said && o.frames > 0 {
		o.said = false
		o.cfg.Say(fmt.Errorf("written again; %d frames were lost in all", o.stats.Lost.Load()))
	}
	o.buf, o.frames = o.buf[:0], 0
}

// append writes the blocks that wait at the end of the file, or nothing of them:
// a part may have been written although the error says none was.
func (o *file) append() error {
	n, err := o.f.WriteAt(o.buf, o.size)
	if err != nil {
		o.f.Truncate(o.size)
		return capture.Nameless(err)
	}
	o.size += int64(n)
	return nil
}

// fail gives up what waits, and says so the first time.
func (o *file) fail(err error) {
	o.stuck, o.tried = err, time.Now()
	o.buf, o.frames = o.buf[:0], 0
	if !o.said {
		o.said = true
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			err = fmt.Errorf("%w: capturing goes on, frames are lost until there is room", err)
		} else {
			err = fmt.Errorf("%w: capturing goes on, frames are lost until it can be written", err)
		}
		o.cfg.Say(err)
	}
}

// resume tries again, at most every few seconds: with a section of its own,
// for what was written of the last one is not known.
func (o *file) resume() bool {
	if time.Since(o.tried) < retryAfter {
		return false
	}
	o.tried = time.Now()
	if o.f == nil {
		o.fresh = o.open() == nil
		return o.fresh
	}
	o.head()
	err := o.append()
	o.buf = o.buf[:0]
	if err != nil {
		return false
	}
	o.stuck = nil
	return true
}

// close ends the file. Its error is of what could not be written.
func (o *file) close() error {
	o.flush()
	err := o.stuck
	if o.f != nil {
		if e := o.f.Close(); err == nil && e != nil {
			err = capture.Nameless(e)
		}
	}
	return err
}
