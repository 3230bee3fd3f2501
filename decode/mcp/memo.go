package mcp

// A memo remembers what was made of a text, because heads of one connection,
// and of all connections of one peer, say the same things. It only saves
// work: the result is the same without it.
type memo[V any] struct {
	m       map[string]V
	size    int
	longest int // bytes of a key that is remembered; 0: memoKey
}

// The bounds of a memo. When it is full it starts anew.
const (
	memoEntries = 1024
	memoBytes   = 128 << 10
	memoKey     = 4 << 10
)

func (c *memo[V]) get(key []byte, made func() V) V {
	if v, ok := c.m[string(key)]; ok {
		return v
	}
	v := made()
	c.put(key, v)
	return v
}

func (c *memo[V]) put(key []byte, v V) {
	if len(key) > max(c.longest, memoKey) {
		return
	}
	if c.m == nil || len(c.m) >= memoEntries || c.size+len(key) > memoBytes {
		c.m, c.size = make(map[string]V, 16), 0
	}
	c.m[string(key)] = v
	c.size += len(key)
}

// An intern table gives equal texts one string.
type intern struct{ memo[string] }

func (t *intern) str(b []byte) string {
	if s, ok := t.m[string(b)]; ok {
		return s
	}
	s := string(b)
	t.put(b, s)
	return s
}
