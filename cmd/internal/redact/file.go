package redact

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"mcp401/capture"
)

// Options say how a file is redacted. The zero value works.
type Options struct {
	Hosts bool   // host names and addresses get stand-ins too
	Clear bool   // TLS that the keys open is written as clear text
	Keys  []byte // lines of key logs, for Clear, beside those in the file
}

// A Result says what was done.
type Result struct {
	Kind      string // of the input, as capture names it
	Records   int
	Secrets   int      // credentials that were seen and searched for
	Cases     int      // calls whose verdict was compared
	Opened    int      // TLS connections that were written as clear text
	Encrypted int      // connections that stay as they are, because they are ciphertext
	Inserted  int      // frames that were inserted
	HTTP2     []uint16 // ports of servers whose HTTP/2 was made anew, a few
	Blank     int      // connections and bodies of which nothing could be kept
	Warnings  []capture.Warning
}

// An Error is a refusal, with what to do about it.
type Error struct {
	Text, Hint string
	why        error
}

func (e *Error) Error() string { return e.Text }
func (e *Error) Unwrap() error { return e.why }

func refuse(hint, format string, args ...any) *Error {
	return &Error{Text: fmt.Sprintf(format, args...), Hint: hint}
}

// File writes the capture named in to out with everything masked that is not
// known to be harmless. It leaves no file unless the proof succeeds: what out
// says of each call is what in says, and no credential of in is found in out.
func File(in, out string, opt Options) (Result, error) {
	info, err := os.Stat(in)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", in, capture.Nameless(err))
	}
	if !info.Mode().IsRegular() {
		return Result{}, refuse("it is read more than once: save it first", "%s: not a regular file", in)
	}
	if other, err := os.Stat(out); err == nil {
		if os.SameFile(info, other) {
			return Result{}, refuse("", "%s: this is the file to be read", out)
		}
		if !other.Mode().IsRegular() {
			return Result{}, refuse("name a file, so that nothing is left of it if the proof fails", "%s: not a regular file", out)
		}
	}
	tmp := filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+"."+rand.Text()[:8])
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", out, capture.Nameless(err))
	}
	defer os.Remove(tmp)
	res, err := attempts(in, out, f, opt)
	if err = cmp.Or(err, f.Close()); err != nil {
		return res, err
	}
	if err := os.Chmod(tmp, 0o644); err != nil {
		return res, err
	}
	return res, os.Rename(tmp, out)
}

// attempts masks and proves. Where a secret is found that also stands as a name
// or a word, another try masks those as well; and where masking in place loses a
// verdict, or cannot reach an address, another one makes all HTTP anew.
func attempts(in, out string, f *os.File, opt Options) (Result, error) {
	before, p, err := look(in, opt, false)
	if err != nil {
		return Result{}, err
	}
	var deny []string
	for all := false; ; {
		key := make([]byte, 32)
		rand.Read(key)
		seen := NewSecrets()
		if err := errors.Join(f.Truncate(0), seekStart(f)); err != nil {
			return Result{}, err
		}
		res, numbers, err := mask(in, f, NewMasker(Config{Key: key, Hosts: opt.Hosts, Deny: deny}, seen), p)
		res.Cases = len(before)
		if err == nil {
			err = prove(before, f.Name(), seen, numbers)
		}
		var leak *Leak
		switch {
		case err == nil:
			return res, nil
		case errors.As(err, &leak) && deny == nil:
			deny = seen.List()
			continue
		case errors.Is(err, errPlace) && !all && !isHAR(res.Kind):
			all = true
			if _, p, err = look(in, opt, all); err != nil {
				return res, err
			}
			continue
		case errors.As(err, &leak) || errors.Is(err, errDiffers):
			err = fmt.Errorf("%s: %w", out, err)
		}
		return res, err
	}
}

// errPlace is why another try is worth it in which nothing is masked in place.
var errPlace = errors.New("it cannot be masked in place")

func isHAR(kind string) bool { return strings.HasPrefix(kind, "har") }

func seekStart(f *os.File) error {
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// mask writes the masked capture to f.
func mask(in string, f *os.File, m *Masker, plan plan) (Result, *numbers, error) {
	src, err := capture.Open([]string{in}, nil, capture.Options{})
	if err != nil {
		return Result{}, nil, err
	}
	var n numbers
	defer src.Close()
	kind := src.Inputs()[0].Kind
	format, wrapping, _ := strings.Cut(kind, "+")
	res := Result{Kind: kind}
	if format == "har" {
		if wrapping != "" {
			return res, nil, refuse("unpack it first", "%s: a HAR within %s is not redacted", in, wrapping)
		}
		res.Records, err = maskHAR(in, f, m)
	} else {
		p := newPackets(m, newPatched(f), plan)
		err = p.run(src, format, in)
		n = p.numbers
		res.Records, res.Opened, res.Encrypted, res.Blank = src.Inputs()[0].Records, p.opened, p.encrypted, p.blanked
		res.Inserted, res.HTTP2 = len(n.inserted), p.http2
	}
	res.Warnings = src.Warnings()
	res.Secrets = m.seen.Len()
	if err == nil && m.seen.More {
		err = refuse("cut it: editcap -c 100000 IN OUT", "%s: more than %d credentials, which is more than can be searched for afterwards", in, mostSecrets)
	}
	return res, &n, err
}

// mostEntry bounds one entry of a HAR, which is held whole.
const mostEntry = 128 << 20

// A bounded reader fails where one value of a HAR is too long to be held.
type bounded struct {
	r    io.Reader
	left int
}

var errLong = errors.New("too long")

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errLong
	}
	n, err := b.r.Read(p)
	b.left -= n
	return n, err
}

// A rewrite reads a HAR value by value and writes it masked.
type rewrite struct {
	in      *bounded
	dec     *jsontext.Decoder
	w       *bufio.Writer
	m       *Masker
	entries int
}

func maskHAR(in string, out io.Writer, m *Masker) (int, error) {
	f, err := os.Open(in)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 256<<10)
	if b, _ := r.Peek(3); bytes.Equal(b, []byte("\xef\xbb\xbf")) {
		r.Discard(3)
	}
	h := rewrite{in: &bounded{r, mostEntry}, w: bufio.NewWriterSize(out, 256<<10), m: m}
	h.dec = jsontext.NewDecoder(h.in, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	err = h.object(func(name string) error {
		if name != "log" || h.dec.PeekKind() != '{' {
			return h.value(name)
		}
		return h.object(func(name string) error {
			if name != "entries" || h.dec.PeekKind() != '[' {
				return h.value(name)
			}
			return h.array()
		})
	})
	switch {
	case errors.Is(err, errLong):
		return 0, refuse("leave it out, with an editor for JSON", "%s: entry %d has more than %d MiB", in, h.entries+1, mostEntry>>20)
	case err != nil:
		return 0, refuse("export it again", "%s: broken JSON near offset %d", in, h.dec.InputOffset())
	}
	h.w.WriteByte('\n')
	return h.entries, h.w.Flush()
}

// object copies an object, whose values f writes.
func (h *rewrite) object(f func(name string) error) error {
	if _, err := h.dec.ReadToken(); err != nil {
		return err
	}
	h.w.WriteByte('{')
	for first := true; ; first = false {
		if h.dec.PeekKind() == '}' {
			h.w.WriteString("}")
			_, err := h.dec.ReadToken()
			return err
		}
		if !first {
			h.w.WriteString(",\n")
		}
		raw, err := h.dec.ReadValue()
		if err != nil {
			return err
		}
		text, err := jsontext.AppendUnquote(nil, raw)
		if err != nil {
			return err
		}
		name := bytes.Clone(raw)
		inJSON(name[1:len(name)-1], h.m.names)
		h.w.Write(name)
		h.w.WriteByte(':')
		if err := f(string(text)); err != nil {
			return err
		}
	}
}

func (h *rewrite) array() error {
	if _, err := h.dec.ReadToken(); err != nil {
		return err
	}
	h.w.WriteString("[\n")
	for h.dec.PeekKind() != ']' {
		if h.entries > 0 {
			h.w.WriteString(",\n")
		}
		if err := h.value(""); err != nil {
			return err
		}
		h.entries++
	}
	h.w.WriteString("]")
	_, err := h.dec.ReadToken()
	return err
}

func (h *rewrite) value(key string) error {
	raw, err := h.dec.ReadValue()
	if err != nil {
		return err
	}
	b := bytes.Clone(raw)
	h.m.har(key, b)
	h.in.left = mostEntry
	_, err = h.w.Write(b)
	return err
}
