// Pack compiles the engine to WebAssembly and puts it, compressed, beside
// package engine, which embeds it, with the script of the same Go release that
// runs it in a browser. With -check it does the same in a temporary folder and
// fails if what is embedded differs.
//
// The one trick: the compiler is the one that go.mod names, and nothing of the
// machine gets into what it makes, so that anybody gets the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// again is how to repair what -check finds.
const again = "go generate ./cmd/internal/web/engine"

func main() {
	check := flag.Bool("check", false, "compare with what is embedded and write nothing")
	flag.Parse()
	if err := pack(*check); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(check bool) error {
	out, err := run("list", "-f", "{{.Dir}}", "mcp401/cmd/internal/web/engine")
	if err != nil {
		return err
	}
	dir := strings.TrimSpace(string(out))
	module, err := compile()
	if err != nil {
		return err
	}
	root, err := run("env", "GOROOT")
	if err != nil {
		return err
	}
	script, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"))
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{"engine.wasm.gz": module, "wasm_exec.js.gz": script} {
		name = filepath.Join(dir, name)
		if check {
			err = compare(name, b)
		} else {
			err = write(name, b)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// compile returns the engine as WebAssembly.
func compile() ([]byte, error) {
	tmp, err := os.MkdirTemp("", "engine-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	name := filepath.Join(tmp, "engine.wasm")
	if _, err := run("build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", name, "mcp401/cmd/internal/web/engine/wasm"); err != nil {
		return nil, err
	}
	return os.ReadFile(name)
}

// run runs the go command of the release that go.mod names, for the browser,
// and without settings of the machine that would change what it makes.
func run(args ...string) ([]byte, error) {
	release, err := exec.Command("go", "list", "-m", "-f", "{{.GoVersion}}", "mcp401").Output()
	if err != nil {
		return nil, fmt.Errorf("go list -m: %w", err)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "GOTOOLCHAIN=go"+strings.TrimSpace(string(release)),
		"GOFLAGS=", "GOWASM=", "GOEXPERIMENT=", "GODEBUG=", "CGO_ENABLED=0")
	var said bytes.Buffer
	cmd.Stderr = &said
	b, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, said.Bytes())
	}
	return b, nil
}

func write(name string, b []byte) error {
	if compare(name, b) == nil {
		return nil // another release may compress the same to other bytes
	}
	var z bytes.Buffer
	w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(b); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, %d of them plain\n", filepath.Base(name), z.Len(), len(b))
	return os.WriteFile(name, z.Bytes(), 0o666)
}

// compare fails unless the file holds b.
func compare(name string, b []byte) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%w; make it with: %s", err, again)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("%s: %w; make it anew with: %s", filepath.Base(name), err, again)
	}
	have, err := io.ReadAll(io.LimitReader(z, int64(len(b))+1))
	if err == nil && !bytes.Equal(have, b) {
		err = errors.New("not what the sources give")
	}
	if err != nil {
		return fmt.Errorf("%s: %w; make it anew with: %s", filepath.Base(name), err, again)
	}
	return nil
}
