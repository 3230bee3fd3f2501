// Package filter compiles tcpdump's filter language to classic BPF.
//
// It knows the parts that people use: host, net, port, portrange with src and
// dst, the names of protocols, proto, vlan, less, greater, and, or, not,
// parentheses, and bare values that take the qualifiers of the value before
// them ("port 80 or 443"). It looks up no names of hosts and knows no
// expressions over bytes ("tcp[13] & 2 != 0"): tcpdump -ddd compiles those,
// and [Parse] reads its output.
//
// The one trick: an expression is a tree of tests, and a test is a few loads
// and one jump, so that writing a program is walking the tree with two labels:
// where to go when it holds and where when it does not.
package filter

import (
	"fmt"

	"golang.org/x/net/bpf"

	"mcp401/capture"
)

// Bounds of what is compiled. The first is the kernel's (BPF_MAXINSNS); the
// others keep a hostile expression from taking the stack.
const (
	maxProgram    = 4096      // instructions
	maxExpression = 64 << 10  // bytes
	maxDepth      = 100       // parentheses and nots within each other
	accept        = 256 << 10 // bytes of a matching packet to keep, libpcap's default
)

// An Error says where an expression is wrong.
type Error struct {
	At   int    // byte of the expression, from 0
	Text string // what is wrong there and what was expected; lower case, no period
}

func (e *Error) Error() string { return fmt.Sprintf("filter: at byte %d: %s", e.At, e.Text) }

// An Expr is a compiled expression, good for any link type. It does not change
// and may be used from any goroutine.
type Expr struct {
	root node // nil: everything matches
	text string
}

// Compile reads an expression. An empty one matches every packet. The error is
// an *[Error].
func Compile(text string) (*Expr, error) {
	p := &parser{text: text}
	root, err := p.parse()
	if err != nil {
		return nil, err
	}
	return &Expr{root, text}, nil
}

// String returns the expression as it was given.
func (e *Expr) String() string { return e.text }

// Program returns the program for packets of a link type as they stand in
// files: Ethernet, raw IP, Linux cooked v1 and v2. It returns the number of
// bytes to keep, 0 for a packet that does not match.
func (e *Expr) Program(link capture.LinkType) ([]bpf.Instruction, error) {
	f, ok := frames[link]
	if !ok {
		return nil, fmt.Errorf("filter: no programs for link type %d: Ethernet, raw IP and Linux cooked only", link)
	}
	return assemble(func(c *code, yes, no label) {
		e.emit(c, f, yes, no)
	})
}

// Kernel returns the program for a packet socket, as [capture.Live] wants it.
// A tag that the kernel has taken out of the frame counts as the outermost
// VLAN tag, so "port 80" finds tagged packets too, as with tcpdump. The link
// type is Ethernet for frames with their header and Linux cooked v2 for
// packets without.
func (e *Expr) Kernel(link capture.LinkType) ([]bpf.RawInstruction, error) {
	f, ok := kernel[link]
	if !ok {
		return nil, fmt.Errorf("filter: no sockets with link type %d", link)
	}
	program, err := assemble(func(c *code, yes, no label) {
		if !usesVLAN(e.root) {
			e.emit(c, f, yes, no)
			return
		}
		tagged, plain := c.label(), c.label()
		c.test(test{loads: []bpf.Instruction{bpf.LoadExtension{Num: bpf.ExtVLANTagPresent}}, cond: bpf.JumpNotEqual}, tagged, plain)
		c.place(tagged)
		out := f
		out.tagOutside = true
		e.emit(c, out, yes, no)
		c.place(plain)
		e.emit(c, f, yes, no)
	})
	if err != nil {
		return nil, err
	}
	return bpf.Assemble(program)
}

func (e *Expr) emit(c *code, f frame, yes, no label) {
	if e.root == nil {
		c.jump(yes)
		return
	}
	e.root.emit(c, f, yes, no)
}
