package inet

import "net/netip"

func refusal(proto byte, b []byte) (quote []byte, ok bool) { return plainRefusal(proto, b) }

func quoted(p []byte) (src, dst netip.Addr, tcp []byte, ok bool) { return plainQuoted(p) }
