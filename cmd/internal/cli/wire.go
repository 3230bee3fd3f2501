package cli

import (
	"errors"

	"github.com/spf13/pflag"

	"mcp401/capture"
)

// A wire is the flags that say where packets are taken from as they come.
type wire struct {
	interfaces []string
	read       string
	filter     string
}

func (w *wire) flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&w.interfaces, "interface", "i", nil, "`IFACE` to listen on, or any (repeatable)")
	f.StringVarP(&w.read, "read", "r", "", "read `FILE`, a pipe that is written as packets come, in place of an interface; - is standard input")
}

// listen returns the packets of the wire.
func (a *app) listen(w wire) (capture.Source, error) {
	if w.read == "" {
		return a.wire(w)
	}
	if len(w.interfaces) > 0 || w.filter != "" {
		return nil, hinted(errors.New("--read takes neither an interface nor a filter"), "both are given to what writes it: tcpdump -i any -U -w - tcp | mcp401 live -r -")
	}
	return capture.Open([]string{w.read}, a.stdin, capture.Options{})
}

// noWire is the wire where none can be opened.
func noWire(wire) (capture.Source, error) {
	return nil, hinted(errors.New("this build cannot listen on an interface"), "tcpdump -i any -U -w - | mcp401 live -r -")
}
