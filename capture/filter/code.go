package filter

import (
	"fmt"

	"golang.org/x/net/bpf"
)

// A label is a place in a program that may not be known yet.
type label int

// A step is one instruction, or a jump whose targets are labels.
type step struct {
	in      bpf.Instruction // nil for a jump
	cond    bpf.JumpTest
	val     uint32
	yes, no label
	always  bool // jump to yes, unconditionally
	far     bool // a target is beyond the 8 bits of a conditional jump
}

// size is in instructions: a far jump is a test over two unconditional ones.
func (s *step) size() int {
	if s.far {
		return 3
	}
	return 1
}

// A code is a program being written, front to back. Every jump is forward.
type code struct {
	steps  []step
	placed []int // by label: the step it stands before
}

// A test is a few loads and a comparison of what they leave in the
// accumulator.
type test struct {
	loads []bpf.Instruction
	cond  bpf.JumpTest
	val   uint32
}

func (c *code) label() label {
	c.placed = append(c.placed, -1)
	return label(len(c.placed) - 1)
}

func (c *code) place(l label) { c.placed[l] = len(c.steps) }

func (c *code) jump(to label) { c.steps = append(c.steps, step{always: true, yes: to}) }

// full says that the program is already too long, so that writing it can stop.
func (c *code) full() bool { return len(c.steps) > maxProgram }

func (c *code) test(t test, yes, no label) {
	for _, in := range t.loads {
		c.steps = append(c.steps, step{in: in})
	}
	c.steps = append(c.steps, step{cond: t.cond, val: t.val, yes: yes, no: no})
}

// assemble writes a program that keeps the packets for which body jumps to
// yes.
func assemble(body func(c *code, yes, no label)) ([]bpf.Instruction, error) {
	c := &code{}
	yes, no := c.label(), c.label()
	body(c, yes, no)
	c.place(yes)
	c.steps = append(c.steps, step{in: bpf.RetConstant{Val: accept}})
	c.place(no)
	c.steps = append(c.steps, step{in: bpf.RetConstant{}})
	if c.full() {
		return nil, errTooLong()
	}
	at := c.relax()
	if at[len(c.steps)] > maxProgram {
		return nil, errTooLong()
	}
	var program []bpf.Instruction
	for i := range c.steps {
		program = c.resolve(program, at, i)
	}
	return program, nil
}

func errTooLong() error {
	return fmt.Errorf("filter: the program would have more than the %d instructions that the kernel takes", maxProgram)
}

// relax finds the jumps that are far and returns the place of every step in
// instructions. Making one far can only make others far, so it ends.
func (c *code) relax() []int {
	at := make([]int, len(c.steps)+1)
	for changed := true; changed; {
		changed = false
		for i := range c.steps {
			at[i+1] = at[i] + c.steps[i].size()
		}
		for i := range c.steps {
			s := &c.steps[i]
			if s.in != nil || s.always || s.far {
				continue
			}
			if at[c.placed[s.yes]]-at[i+1] > 255 || at[c.placed[s.no]]-at[i+1] > 255 {
				s.far, changed = true, true
			}
		}
	}
	return at
}

func (c *code) resolve(program []bpf.Instruction, at []int, i int) []bpf.Instruction {
	s := &c.steps[i]
	if s.in != nil {
		return append(program, s.in)
	}
	yes, no := at[c.placed[s.yes]]-at[i+1], at[c.placed[s.no]]-at[i+1]
	switch {
	case s.always:
		return append(program, bpf.Jump{Skip: uint32(yes)})
	case s.far:
		return append(program, bpf.JumpIf{Cond: s.cond, Val: s.val, SkipFalse: 1},
			bpf.Jump{Skip: uint32(yes + 1)}, bpf.Jump{Skip: uint32(no)})
	}
	return append(program, bpf.JumpIf{Cond: s.cond, Val: s.val, SkipTrue: uint8(yes), SkipFalse: uint8(no)})
}
