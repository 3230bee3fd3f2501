package web

import (
	"fmt"
	"os"
)

// named gives a file a name for packages that want one, until forget is
// called: where there is /proc, every open file has one.
func (f *files) named(in *file) (name string, forget func(), err error) {
	name = fmt.Sprintf("/proc/self/fd/%d", in.f.Fd())
	if _, err := os.Stat(name); err != nil {
		return f.copied(in)
	}
	return name, func() {}, nil
}
