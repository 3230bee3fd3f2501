// Package redact makes captures that are safe to send: it replaces everything
// in a pcap, pcapng or HAR that is not known to be harmless, and proves that
// the capture still says the same and that no credential is left in it.
//
// It masks by an allow-list. Header fields, JSON members and words that are
// named in its tables stay; numbers, booleans and structure stay; every other
// text gets a stand-in. Of what is no HTTP it keeps headers and lengths alone,
// except TLS, which is ciphertext already.
//
// The one trick: a stand-in has the length, the character classes and the marks
// of what it replaces, and is drawn by a keyed hash of it. So TCP sequence
// numbers, content lengths and chunk sizes stay true, everything can be masked
// where it stands, equal secrets stay equal on both hops, and random text still
// looks random to whoever reads it next. The key is drawn anew for each run and
// forgotten.
//
// # Made anew
//
// HTTP/2, compressed content and TLS that is to become clear text cannot be
// masked where they stand. Their connections are made anew: the analysis of the
// input, which is needed anyway, says which they are; then each of their frames
// is written with what its bytes brought to light, under sequence numbers of its
// own. One frame of the input is one of the output, so that verdicts can be
// compared frame by frame; only what exceeds a frame, or is known when its frame
// is written, gets one behind it, and the shift is taken down (numbers). All
// HTTP is made anew where masking in place loses a verdict: where packets came in
// fragments.
package redact
