package capture

import (
	"bytes"
	"encoding/binary"
	"unicode"
)

// formats are the capture formats that can be read. To add one, write a file
// with a Source for it and add a line here.
var formats = []format{
	{"pcap", sniffPcap, newPcap},
	{"pcapng", sniffPcapng, newPcapng},
	{"har", sniffHAR, newHAR},
}

// wrappings are the compressions and encodings that are undone before the
// format is recognised. To add one, add a line here and a func to unpack.go.
var wrappings = []wrapping{
	{"gzip", sniffMagic("\x1f\x8b\x08"), unpackGzip},
	{"zstd", sniffZstd, unpackZstd},
	{"zlib", sniffZlib, unpackZlib},
	{"utf-16", sniffUTF16, unpackUTF16},
	{"zip", sniffMagic("PK\x03\x04"), unpackZip},
}

// foreign are formats that are known and not read, with what to do about them.
var foreign = []struct{ name, magic, hint string }{
	{"a snoop capture", "snoop\x00\x00\x00", editcap},
	{"a Bluetooth HCI log", "btsnoop\x00", "it holds no network traffic: capture with tcpdump -i any -s 0 -w OUT.pcap"},
	{"a Microsoft Network Monitor capture", "RTSS", editcap},
	{"a Microsoft Network Monitor capture", "GMBU", editcap},
	{"an AIX iptrace capture", "iptrace ", editcap},
	{"a Sniffer capture", "TRSNIFF data", editcap},
	{"a NetXRay capture", "XCP\x00", editcap},
	{"an Observer capture", "ObserverPktBuffe", editcap},
	{"an AiroPeek capture", "\x7fver", editcap},
	{"a Visual Networks capture", "\x05VNF", editcap},
	{"an IxVeriWave or IXIA capture", "\xac\x01\x00\x1c", editcap},
	{"an IxVeriWave or IXIA capture", "\xab\x01\x00\x1c", editcap},
	{"a systemd journal", "LPKSHHRH", "it holds no network traffic: capture with tcpdump -i any -s 0 -w OUT.pcap"},
	{"xz-compressed", "\xfd7zXZ\x00", "decompress it first: xz -dk IN"},
	{"bzip2-compressed", "BZh", "decompress it first: bzip2 -dk IN"},
	{"lz4-compressed", "\x04\x22\x4d\x18", "decompress it first: lz4 -d IN OUT"},
	{"a 7z archive", "7z\xbc\xaf\x27\x1c", "unpack it first, then name the capture"},
	{"a RAR archive", "Rar!\x1a\x07", "unpack it first, then name the capture"},
	{"an empty zip archive", "PK\x05\x06", ""},
	{"a PNG image", "\x89PNG", ""},
	{"a JPEG image", "\xff\xd8\xff", ""},
	{"a GIF image", "GIF8", ""},
	{"a PDF document", "%PDF", ""},
	{"an ELF program", "\x7fELF", ""},
	{"an SQLite database", "SQLite format 3\x00", ""},
	{"an HTML page", "<!DOCTYPE", ""},
	{"an HTML page", "<!doctype", ""},
	{"an HTML page", "<html", ""},
	{"an XML file", "<?xml", "an export of Wireshark (PDML) holds too little: use File, Save As, pcapng"},
}

const editcap = "convert it with: editcap -F pcapng IN OUT.pcapng"

type format struct {
	name  string
	sniff func(b []byte) verdict
	open  func(*input) (Source, error)
}

type wrapping struct {
	name  string
	sniff func(b []byte) verdict
	open  func(*input) error // replaces the input's window by one of what is inside
}

// A verdict is what a sniffer says of the first bytes of an input.
type verdict int

const (
	no verdict = iota
	more
	yes
)

// sniffMagic recognises one fixed beginning.
func sniffMagic(magic string) func([]byte) verdict {
	return func(b []byte) verdict { return startsWith(b, magic) }
}

func startsWith(b []byte, magic string) verdict {
	n := min(len(b), len(magic))
	switch {
	case string(b[:n]) != magic[:n]:
		return no
	case n < len(magic):
		return more
	}
	return yes
}

// sniffAny recognises one of several four-byte numbers in either byte order.
func sniffAny(b []byte, magics ...uint32) verdict {
	v := no
	for _, m := range magics {
		v = max(v, startsWith(b, string(binary.BigEndian.AppendUint32(nil, m))),
			startsWith(b, string(binary.LittleEndian.AppendUint32(nil, m))))
	}
	return v
}

func sniffPcap(b []byte) verdict { return sniffAny(b, magicMicro, magicNano, magicModified) }

func sniffPcapng(b []byte) verdict { return startsWith(b, "\x0a\x0d\x0d\x0a") }

// sniffHAR takes any JSON object for a HAR; one without log.entries is refused
// when it has been read.
func sniffHAR(b []byte) verdict {
	b = bytes.TrimPrefix(b, []byte(byteOrderMark))
	b = bytes.TrimLeft(b, " \t\r\n")
	switch {
	case len(b) == 0, startsWith(b, byteOrderMark) == more:
		return more
	case b[0] != '{':
		return no
	case len(b) == 1:
		return more
	case b[1] == 0: // UTF-16
		return no
	}
	return yes
}

// sniffZstd also knows skippable frames, with which parallel compressors begin.
func sniffZstd(b []byte) verdict {
	if v := startsWith(b, "\x28\xb5\x2f\xfd"); v != no {
		return v
	}
	if b[0]&0xf0 != 0x50 {
		return no
	}
	return startsWith(b[1:], "\x2a\x4d\x18")
}

// sniffZlib wants a window of 32 KiB and the check of RFC 1950, section 2.2.
// The level 0x5e is left out: it makes the letters "x^".
func sniffZlib(b []byte) verdict {
	if b[0] != 0x78 {
		return no
	}
	if len(b) < 2 {
		return more
	}
	switch b[1] {
	case 0x01, 0x9c, 0xda:
		return yes
	}
	return no
}

// sniffUTF16 knows the two byte order marks, and a "{" of two bytes.
func sniffUTF16(b []byte) verdict {
	return max(startsWith(b, "\xff\xfe"), startsWith(b, "\xfe\xff"), startsWith(b, "{\x00"), startsWith(b, "\x00{"))
}

// unknown says what an input is that no format claimed.
func unknown(name string, b []byte) *Error {
	for _, f := range foreign {
		if startsWith(b, f.magic) == yes {
			return &Error{Name: name, Text: "this is " + f.name + ", which is not read here", Hint: f.hint, Err: ErrUnsupported}
		}
	}
	switch {
	case isETL(b):
		return &Error{Name: name, Text: "this is a Windows event trace (ETL), which is not read here",
			Hint: "convert it with: etl2pcapng IN OUT.pcapng", Err: ErrUnsupported}
	case bytes.Contains(b, []byte("CLIENT_RANDOM ")), bytes.Contains(b, []byte("_TRAFFIC_SECRET")):
		return &Error{Name: name, Text: "this is a TLS key log, not a capture",
			Hint: "name the capture, and give this file with --keylog", Err: ErrUnsupported}
	case isMitmproxy(b):
		return &Error{Name: name, Text: "this is a mitmproxy flow file, which is not read here",
			Hint: "convert it with: mitmdump -nr IN --set hardump=OUT.har", Err: ErrUnsupported}
	case isJSONP(b):
		return &Error{Name: name, Text: "this is a HAR wrapped in a JavaScript call (JSONP), which is not read here",
			Hint: "remove the name and \"(\" at its start and \")\" at its end", Err: ErrUnsupported}
	case isText(b):
		return &Error{Name: name, Text: "this is text, not a capture",
			Hint: "record packets with: tcpdump -i any -s 0 -w OUT.pcap", Err: ErrUnknown}
	}
	return &Error{Name: name, Text: "not a capture: it is none of pcap, pcapng and HAR",
		Hint: "if Wireshark opens it, " + editcap, Err: ErrUnknown}
}

// isETL knows the buffer header with which an event trace begins: its size, how
// much of it is used, and the type "header".
func isETL(b []byte) bool {
	if len(b) < 56 {
		return false
	}
	size, used := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	return size >= 1024 && size <= 1<<20 && size%1024 == 0 && used <= size && binary.LittleEndian.Uint16(b[54:]) == 4
}

// isMitmproxy knows the netstrings of a flow file: "1234:9:websocket;...".
func isMitmproxy(b []byte) bool {
	digits, rest, ok := bytes.Cut(b, []byte(":"))
	return ok && len(digits) > 0 && len(digits) < 10 && len(bytes.Trim(digits, "0123456789")) == 0 &&
		len(rest) > 0 && rest[0] >= '0' && rest[0] <= '9' && bytes.ContainsAny(rest[:min(len(rest), 32)], ";")
}

func isJSONP(b []byte) bool {
	name, rest, ok := bytes.Cut(b, []byte("("))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return ok && len(name) > 0 && len(name) < 64 && !bytes.ContainsAny(name, "{}[]\"<>") &&
		len(rest) > 0 && rest[0] == '{'
}

func isText(b []byte) bool {
	for _, r := range string(b) {
		if r < ' ' && !unicode.IsSpace(r) {
			return false
		}
	}
	return true
}
