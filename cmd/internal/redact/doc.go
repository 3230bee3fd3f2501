// Package redact makes captures that are safe to send: it replaces everything
// in a pcap, pcapng or HAR that is not known to be harmless, and proves that
// the capture still says the same and that no credential is left in it.
//
// It masks by an allow-list. Header fields, JSON members and words that are
// named in its tables stay; numbers, booleans and structure stay; every other
// text gets a stand-in. Of what is no clear HTTP/1 it keeps headers and lengths
// alone, except TLS, which is ciphertext already.
//
// The one trick: a stand-in has the length, the character classes and the marks
// of what it replaces, and is drawn by a keyed hash of it. So TCP sequence
// numbers, content lengths and chunk sizes stay true, everything can be masked
// where it stands, equal secrets stay equal on both hops, and random text still
// looks random to whoever reads it next. The key is drawn anew for each run and
// forgotten.
package redact
