package keep

import "sort"

// A queue is frames in the order of their capture. Their bytes lie in chunks,
// which are used again.
type queue struct {
	frames []frame
	head   int // of frames: those before it were popped
	cost   int // bytes of what waits
	tail   *chunk
	spare  []*chunk
}

// A chunk holds the bytes of frames that came one after another.
type chunk struct {
	buf  []byte
	used int // frames that wait in it
}

// spares is how many chunks are kept for the next burst.
const spares = 16

// push appends a frame with a copy of its bytes.
func (q *queue) push(f frame, data []byte) {
	if len(data) > 0 {
		if q.tail == nil || cap(q.tail.buf)-len(q.tail.buf) < len(data) {
			q.grow(len(data))
		}
		c := q.tail
		from := len(c.buf)
		c.buf = append(c.buf, data...)
		c.used++
		f.data, f.chunk = c.buf[from:len(c.buf):len(c.buf)], c
	}
	q.cost += len(data) + frameCost
	if q.head > 1024 && q.head > len(q.frames)/2 {
		n := copy(q.frames, q.frames[q.head:])
		clear(q.frames[n:])
		q.frames, q.head = q.frames[:n], 0
	}
	q.frames = append(q.frames, f)
}

func (q *queue) grow(n int) {
	if old := q.tail; old != nil && old.used == 0 {
		q.free(old)
	}
	if last := len(q.spare) - 1; last >= 0 && n <= chunkSize {
		q.tail = q.spare[last]
		q.spare = q.spare[:last]
		return
	}
	q.tail = &chunk{buf: make([]byte, 0, max(n, chunkSize))}
}

func (q *queue) free(c *chunk) {
	if len(q.spare) < spares && cap(c.buf) == chunkSize {
		c.buf = c.buf[:0]
		q.spare = append(q.spare, c)
	}
}

// front is the oldest frame, valid until the next push; nil: there is none.
func (q *queue) front() *frame {
	if q.head == len(q.frames) {
		return nil
	}
	return &q.frames[q.head]
}

// pop takes off the front. Its bytes must not be used any more.
func (q *queue) pop() {
	f := &q.frames[q.head]
	q.cost -= len(f.data) + frameCost
	if c := f.chunk; c != nil {
		if c.used--; c.used == 0 && c != q.tail {
			q.free(c)
		}
	}
	*f = frame{}
	q.head++
}

// find returns the packet of that number, valid until the next push; nil: it
// does not wait.
func (q *queue) find(num int) *frame {
	list := q.frames[q.head:]
	i := sort.Search(len(list), func(i int) bool { return list[i].num >= num })
	if i < len(list) && list[i].num == num && list[i].lost == 0 {
		return &list[i]
	}
	return nil
}
