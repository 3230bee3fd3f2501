package capture

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"path"
	"strings"
)

// The largest list of contents that is read of a zip: a real one with a HAR
// and its attachments has some KiB, and one of a gigabyte is made to hurt.
const maxZipDirectory = 16 << 20

// unpackZip opens the HAR in a zip, with which recorders also write the bodies
// as files of their own. A zip ends with its list of contents, so it cannot be
// read from a pipe.
func unpackZip(in *input) error {
	refuse := func(text, hint string) error {
		return &Error{Name: in.name, Text: text, Hint: hint, Err: ErrUnsupported}
	}
	if in.at == nil || in.raw.n.Load() != in.offset()+int64(len(in.buffered())) {
		return refuse("a zip archive cannot be read from a pipe or from within another file", "unpack it first, then name the .har file")
	}
	if size, ok := zipDirectory(in.at, in.size); !ok || size > maxZipDirectory {
		return refuse("damaged zip archive, or one with too many files", "unpack it first, then name the .har file")
	}
	archive, err := zip.NewReader(in.at, in.size)
	if err != nil {
		return refuse("damaged zip archive", "unpack it first, then name the .har file")
	}
	har, problem := harOf(archive)
	if har == nil {
		return refuse("zip archive "+problem, "unpack it first, then name the capture")
	}
	r, err := har.Open()
	if err != nil {
		return refuse("the HAR in this zip archive is encrypted or compressed in an unusual way", "unpack it first, then name the .har file")
	}
	in.unwrap("zip", r, in.offset)
	in.attached = attachments(archive)
	return nil
}

// harOf finds har.har, or the only file that ends so.
func harOf(archive *zip.Reader) (har *zip.File, problem string) {
	for _, f := range archive.File {
		name := strings.ToLower(f.Name)
		switch {
		case !strings.HasSuffix(name, ".har"), strings.HasPrefix(name, "__macosx/"):
		case path.Base(name) == "har.har":
			return f, ""
		case har != nil:
			problem = "with several HAR files"
		default:
			har = f
		}
	}
	if har == nil {
		return nil, "without a HAR file"
	}
	if problem != "" {
		return nil, problem
	}
	return har, ""
}

// attachments opens files of the archive by name and tells their size. Nothing is written, and
// nothing outside the archive is read, whatever the names are.
func attachments(archive *zip.Reader) func(string) (io.ReadCloser, int64) {
	files := map[string]*zip.File{}
	for _, f := range archive.File {
		files[f.Name] = f
	}
	return func(name string) (io.ReadCloser, int64) {
		f, ok := files[name]
		if !ok {
			return nil, 0
		}
		r, err := f.Open()
		if err != nil {
			return nil, 0
		}
		return r, int64(min(f.UncompressedSize64, math.MaxInt32))
	}
}

// zipDirectory reads the size of the list of contents from the archive's last
// record (APPNOTE 4.3.16), before anything of that size is allocated.
func zipDirectory(r io.ReaderAt, size int64) (int64, bool) {
	n := min(size, 22+1<<16)
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-n); err != nil && err != io.EOF {
		return 0, false
	}
	i := bytes.LastIndex(b, []byte("PK\x05\x06"))
	if i < 0 || len(b)-i < 22 {
		return 0, false
	}
	return int64(binary.LittleEndian.Uint32(b[i+12:])), true
}
