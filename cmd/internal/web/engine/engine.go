// Package engine is the engine of the page in one file, compiled and
// compressed, and the making of that file.
//
// The engine itself is the program in folder wasm. It is embedded as it was
// compiled by `go generate`, so that a fresh clone and `go install` need
// nothing but this folder; .ci/run fails when it is not what the sources give.
// The one trick: modules that import each other by name and in no circle can
// stand in one script, each in a function of its own, in the order in which
// they need each other.
package engine

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"io"
)

//go:generate go run ./pack

var (
	//go:embed engine.wasm.gz
	module []byte

	//go:embed wasm_exec.js.gz
	support []byte
)

// Module returns the engine as WebAssembly, compressed with gzip. It must not
// be changed.
func Module() []byte { return module }

// Support returns the script of Go's that runs it.
func Support() []byte {
	r, err := gzip.NewReader(bytes.NewReader(support))
	if err == nil {
		var b []byte
		if b, err = io.ReadAll(r); err == nil {
			return b
		}
	}
	panic("internal error: wasm_exec.js.gz: " + err.Error())
}
