package cli

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"mcp401/capture"
	"mcp401/capture/filter"
)

// A wire is the flags that say where packets are taken from as they come.
type wire struct {
	interfaces []string
	read       string
	filter     string
	program    string // name of a file with a compiled filter
	netns      string
	snap       int
	ring       int  // KiB
	quiet      bool // no promiscuous mode
	user       string
	pid        int          // of the gateway
	chosen     *filter.Expr // where no filter was given
}

func (w *wire) flags(f *pflag.FlagSet) {
	f.StringArrayVarP(&w.interfaces, "interface", "i", nil, "`IFACE` to listen on, or any (repeatable)")
	f.StringVarP(&w.read, "read", "r", "", "read `FILE`, a pipe that is written as packets come, in place of an interface; - is standard input")
	f.StringVar(&w.program, "bpf-file", "", "a filter compiled by tcpdump -ddd, from `FILE`")
	f.IntVarP(&w.snap, "snapshot-length", "s", 256<<10, "keep `BYTES` of each packet; 0: the default")
	f.IntVarP(&w.ring, "buffer-size", "B", 32<<10, "`KIB` of the kernel's ring for each interface: what comes while this program is busy")
	f.BoolVarP(&w.quiet, "no-promiscuous-mode", "p", false, "do not put a named interface into promiscuous mode")
	f.StringVarP(&w.user, "user", "Z", "", "become `NAME` when the interfaces are open; as root without it who called sudo, or nobody")
	f.IntVar(&w.pid, "pid", 0, "`PID` of the gateway: it is recognised by the ports it listens on, in its network namespace")
	f.StringVar(&w.netns, "netns", "", "listen in the network namespace of this `NAME|PID`")
}

// names returns the names of the interfaces, by number.
func (w *wire) names() []string {
	if w.read != "" {
		return nil
	}
	if len(w.interfaces) == 0 {
		return []string{"any"}
	}
	return w.interfaces
}

// expression is the filter in tcpdump's language, as far as it is known.
func (w *wire) expression() string {
	if w.chosen != nil {
		return w.chosen.String()
	}
	return w.filter
}

// check reads the flags' values before any work is done.
func (w *wire) check() error {
	switch {
	case w.snap < 0 || w.snap > 16<<20:
		return fmt.Errorf("--snapshot-length %d: not a number from 0 to %d", w.snap, 16<<20)
	case w.ring < 64 || w.ring > 4<<20:
		return fmt.Errorf("--buffer-size %d: not a number from 64 to %d", w.ring, 4<<20)
	case w.pid < 0:
		return fmt.Errorf("--pid %d: not the id of a process", w.pid)
	case w.read != "" && w.user != "":
		return errors.New("--user is for interfaces: a file is read with the rights that you have")
	}
	return nil
}

// listen returns the packets of the wire.
func (a *app) listen(w wire) (capture.Source, error) {
	if w.read == "" {
		return a.wire(w)
	}
	if len(w.interfaces) > 0 || w.filter != "" || w.program != "" || w.netns != "" {
		return nil, hinted(errors.New("--read takes neither an interface nor a filter"), "both are given to what writes it: tcpdump -i any -U -w - tcp | mcp401 live -r -")
	}
	return capture.Open([]string{w.read}, a.stdin, capture.Options{})
}

// onWire listens on the interfaces of this machine.
func onWire(w wire) (capture.Source, error) {
	cfg := capture.Live{Interfaces: w.interfaces, NetNS: w.netns, Snap: w.snap, Ring: w.ring << 10, Promiscuous: !w.quiet}
	switch {
	case w.filter != "" && w.program != "":
		return nil, hinted(errors.New("a filter and --bpf-file"), "give one of them")
	case w.filter != "":
		e, err := filter.Compile(w.filter)
		if err != nil {
			return nil, hinted(err, "for what is not known here: tcpdump -ddd EXPRESSION > FILE, and --bpf-file FILE")
		}
		cfg.Filter = e.Kernel
	case w.program != "":
		text, err := os.ReadFile(w.program)
		if err != nil {
			return nil, fmt.Errorf("--bpf-file %s: %w", w.program, capture.Nameless(err))
		}
		program, err := filter.Parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("--bpf-file %s: %w", w.program, err)
		}
		cfg.Filter = filter.Fixed(program)
	case w.chosen != nil:
		cfg.Filter = w.chosen.Kernel
	}
	s, err := capture.OpenLive(cfg)
	if err != nil {
		return nil, err // not with s in it, which is a nil of a type
	}
	return s, nil
}
