package filter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/bpf"

	"mcp401/capture"
)

// Parse reads a program as tcpdump -ddd prints it: a line with the number of
// instructions, then for each a line with its code, its two jumps and its
// operand, in decimal. The program is held against what a kernel accepts, so
// that a mistake is named here and not as "invalid argument".
func Parse(text string) ([]bpf.RawInstruction, error) {
	lines := strings.Split(strings.TrimRight(text, " \t\r\n"), "\n")
	n, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || n < 1 || n > maxProgram {
		return nil, fmt.Errorf("bpf program: line 1: a number of instructions from 1 to %d was expected: is this the output of tcpdump -ddd?", maxProgram)
	}
	if n != len(lines)-1 {
		return nil, fmt.Errorf("bpf program: %d instructions announced, %d found", n, len(lines)-1)
	}
	program := make([]bpf.RawInstruction, n)
	for i := range program {
		if program[i], err = instruction(lines[i+1]); err != nil {
			return nil, fmt.Errorf("bpf program: line %d: %w", i+2, err)
		}
		if fault := jumpFault(program[i], n-i-1); fault != "" {
			return nil, fmt.Errorf("bpf program: line %d: %s", i+2, fault)
		}
	}
	if program[n-1].Op&7 != classRet {
		return nil, fmt.Errorf("bpf program: line %d: the last instruction returns nothing", n+1)
	}
	return program, nil
}

// Fixed is the filter of [capture.Live] for a program that [Parse] read, which
// tcpdump compiled for Ethernet. Elsewhere its offsets would mean something
// else, so it is refused.
func Fixed(program []bpf.RawInstruction) func(capture.LinkType) ([]bpf.RawInstruction, error) {
	return func(link capture.LinkType) ([]bpf.RawInstruction, error) {
		if link != capture.LinkEthernet {
			return nil, errors.New("a compiled filter fits Ethernet interfaces only: name them instead of any, or write the filter as an expression")
		}
		return program, nil
	}
}

// Classes of instructions and the jump without a condition, of linux/filter.h.
const (
	classJump = 0x05
	classRet  = 0x06
	jumpOnly  = 0x05
)

func instruction(line string) (bpf.RawInstruction, error) {
	words := strings.Fields(line)
	if len(words) != 4 {
		return bpf.RawInstruction{}, fmt.Errorf("four numbers were expected, there are %d words", len(words))
	}
	var v [4]uint64
	for i, bits := range []int{16, 8, 8, 32} {
		var err error
		if v[i], err = strconv.ParseUint(words[i], 10, bits); err != nil {
			return bpf.RawInstruction{}, fmt.Errorf("%q is not a number of %d bits", words[i], bits)
		}
	}
	return bpf.RawInstruction{Op: uint16(v[0]), Jt: uint8(v[1]), Jf: uint8(v[2]), K: uint32(v[3])}, nil
}

// jumpFault holds a jump against the instructions that are left.
func jumpFault(in bpf.RawInstruction, left int) string {
	switch {
	case in.Op&7 != classJump:
		return ""
	case in.Op == jumpOnly && uint64(in.K) >= uint64(left), in.Op != jumpOnly && int(max(in.Jt, in.Jf)) >= left:
		return "a jump beyond the end"
	}
	return ""
}
