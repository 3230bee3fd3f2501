package capture

import (
	"errors"
	"io/fs"
	"os"
)

// What can be wrong with an input as a whole; an [Error] wraps one of them or
// the system's own error ([fs.ErrPermission], [fs.ErrNotExist], an I/O error).
var (
	ErrEmpty       = errors.New("empty")                // no bytes at all
	ErrDirectory   = errors.New("a directory")          // a name that is not a file's
	ErrUnknown     = errors.New("not a capture")        // nothing that is known
	ErrUnsupported = errors.New("unsupported format")   // known, and not read here
	ErrDamaged     = errors.New("nothing readable")     // a capture of which no record could be read
	errTwice       = errors.New("read more than once")  // "-" given twice
	errNested      = errors.New("compressed too often") // see maxNesting
)

// An Error says in one line why an input cannot be read, and what to do next.
type Error struct {
	Name string // the input as it was given, "standard input" for "-"
	Text string // what is wrong with it: lower case, no period
	Hint string // what to do next, "" when there is nothing to say
	Err  error  // for errors.Is
}

func (e *Error) Error() string { return e.Name + ": " + e.Text }

func (e *Error) Unwrap() error { return e.Err }

// systemError turns an error of os.Open or Read into an Error without saying
// the name twice.
func systemError(name string, err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	e := &Error{Name: name, Text: Nameless(err).Error(), Err: err}
	if errors.Is(err, fs.ErrPermission) {
		e.Hint = "captures made by root belong to root: sudo chown \"$USER\" " + name
	}
	return e
}

// Nameless takes the names of files out of an error of package os, for who says
// them himself or must not say them.
func Nameless(err error) error {
	var p *fs.PathError
	var l *os.LinkError
	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	}
	return err
}
