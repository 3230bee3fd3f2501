//go:build !linux

package web

// named gives a file a name for packages that want one, until forget is
// called.
func (f *files) named(in *file) (name string, forget func(), err error) { return f.copied(in) }
