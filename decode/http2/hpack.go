package http2

// An entry is one field of a table. A nil name is one that is not known,
// because it was a reference to something that was not seen.
type entry struct{ name, value []byte }

// overhead is what an entry counts beside its bytes (RFC 7541 section 4.1).
const overhead = 32

func (e *entry) size() int { return len(e.name) + len(e.value) + overhead }

// usual is the size of a dynamic table that nobody changed (RFC 9113 section
// 6.5.2).
const usual = 4096

// A table is the dynamic table of one direction (RFC 7541 section 2.3).
//
// Indexes count from the newest entry. So a table whose begin was not seen
// still resolves what was inserted since.
type table struct {
	all  []entry
	head int // all[:head] is gone
	size int
	most int  // what the encoder last said
	keep int  // the bound
	part bool // the begin was not seen: most is a guess
	room []byte
}

// forget is for a hole: nothing inserted before it can be resolved anymore.
func (t *table) forget() {
	t.clear()
	t.part, t.most = true, t.keep
}

func (t *table) clear() {
	clear(t.all)
	t.all, t.head, t.size = t.all[:0], 0, 0
}

// at returns the i-th entry, 0 being the newest, or nil.
func (t *table) at(i int) *entry {
	if i >= len(t.all)-t.head {
		return nil
	}
	return &t.all[len(t.all)-1-i]
}

// resize is the encoder's word on the size (RFC 7541 section 6.3).
func (t *table) resize(n int) {
	t.part = t.part && n > 0
	t.most = min(n, t.keep)
	t.shrink(t.most)
}

func (t *table) shrink(n int) {
	for t.size > n {
		t.size -= t.all[t.head].size()
		t.all[t.head] = entry{}
		t.head++
	}
	if n := len(t.all) - t.head; n == 0 || t.head > 32 && t.head > n {
		copy(t.all, t.all[t.head:])
		clear(t.all[n:])
		t.all, t.head = t.all[:n], 0
	}
}

// insert adds copies of name and value. lasting says that name need not be
// copied.
func (t *table) insert(name, value []byte, lasting bool) {
	e := entry{name, value}
	n := e.size()
	if n > t.most || t.part && n > usual {
		// RFC 7541 section 4.4: it empties the table. Where the size is a guess
		// nobody knows whether it is in, and nothing before it can be counted.
		t.clear()
		return
	}
	t.shrink(t.most - n)
	// A long name that many entries share is kept once, or two bytes on the
	// wire would cost a copy of it each.
	if name != nil && (!lasting || len(name) <= 64) {
		e.name = t.copy(name)
	}
	e.value = t.copy(value)
	t.all = append(t.all, e)
	t.size += n
}

// copy puts b into a piece of memory that many short strings share.
func (t *table) copy(b []byte) []byte {
	const piece = 1024
	switch {
	case len(b) > piece/4:
		return append(make([]byte, 0, len(b)), b...)
	case t.room == nil || len(b) > cap(t.room)-len(t.room):
		t.room = make([]byte, 0, piece)
	}
	n := len(t.room)
	t.room = append(t.room, b...)
	return t.room[n:len(t.room):len(t.room)]
}

// A block is a header block in decoding. The strings that it gives out lie in
// the block, in text or in a table, and are valid until text is used again.
type block struct {
	t    *table
	b    []byte
	text []byte // Huffman strings
}

// A found says what block.next found.
type found uint8

const (
	field found = iota
	unknown
	over
	bad
)

// next returns the next field. A field of which the name is not known is
// unknown, and so is one whose value is not.
func (k *block) next() (name, value []byte, f found) {
	for len(k.b) > 0 {
		switch c := k.b[0]; {
		case c&0x80 != 0: // section 6.1
			i, ok := k.integer(7)
			if !ok || i == 0 {
				return nil, nil, bad
			}
			e := k.index(i)
			if e == nil || e.name == nil {
				return nil, nil, unknown
			}
			return e.name, e.value, field
		case c&0xe0 == 0x20: // section 6.3
			n, ok := k.integer(5)
			if !ok {
				return nil, nil, bad
			}
			k.t.resize(n)
		case c&0x40 != 0: // section 6.2.1
			return k.literal(6, true)
		default: // sections 6.2.2 and 6.2.3
			return k.literal(4, false)
		}
	}
	return nil, nil, over
}

func (k *block) index(i int) *entry {
	if i < len(static) {
		return &static[i]
	}
	return k.t.at(i - len(static))
}

func (k *block) literal(prefix uint, insert bool) (name, value []byte, f found) {
	i, ok := k.integer(prefix)
	if !ok {
		return nil, nil, bad
	}
	if i == 0 {
		if name, ok = k.str(); !ok {
			return nil, nil, bad
		}
	} else if e := k.index(i); e != nil {
		name = e.name
	}
	if value, ok = k.str(); !ok {
		return nil, nil, bad
	}
	if insert {
		k.t.insert(name, value, i > 0)
	}
	if name == nil {
		return nil, nil, unknown
	}
	return name, value, field
}

// integer reads an integer (RFC 7541 section 5.1). None that means something
// has more than 28 bits.
func (k *block) integer(prefix uint) (int, bool) {
	most := 1<<prefix - 1
	n := int(k.b[0]) & most
	k.b = k.b[1:]
	if n < most {
		return n, true
	}
	for shift := 0; shift < 28 && len(k.b) > 0; shift += 7 {
		c := k.b[0]
		k.b = k.b[1:]
		n += int(c&0x7f) << shift
		if c&0x80 == 0 {
			return n, true
		}
	}
	return 0, false
}

// str reads a string (RFC 7541 section 5.2). It is never nil.
func (k *block) str() ([]byte, bool) {
	if len(k.b) == 0 {
		return nil, false
	}
	coded := k.b[0]&0x80 != 0
	n, ok := k.integer(7)
	if !ok || n > len(k.b) {
		return nil, false
	}
	s := k.b[:n:n]
	k.b = k.b[n:]
	if !coded || n == 0 {
		return s, true
	}
	from := len(k.text)
	k.text, ok = huffman.decode(k.text, s)
	return k.text[from:len(k.text):len(k.text)], ok
}
