package history

import (
	"fmt"

	"github.com/anishathalye/porcupine"
)

// kind of an operation.
type kind int

const (
	appendRecord kind = iota
	getRecord         // of an offset
	getEnd
)

type input struct {
	kind   kind
	value  int64 // to append
	offset int64 // to get
}

type output struct {
	unknown bool  // an append whose outcome is not known
	offset  int64 // of an append, or the end; unknownOffset if it was acknowledged without one
	value   int64
	absent  bool // there is nothing at the offset
}

const unknownOffset = -1

// log is a state: a list that shares its past with others.
type log struct {
	length int64
	hash   uint64 // of all values
	last   int64
	before *log
}

var empty = &log{hash: 14695981039346656037} // FNV-1a, 64 bits

func (l *log) with(value int64) *log {
	h := l.hash
	for shift := 0; shift < 64; shift += 8 {
		h = (h ^ uint64(byte(value>>shift))) * 1099511628211
	}
	return &log{l.length + 1, h, value, l}
}

func (l *log) at(offset int64) int64 {
	for l.length-1 > offset {
		l = l.before
	}
	return l.last
}

// Linearizable is a log whose reads are linearizable.
var Linearizable = model(false)

// Prefix is a log whose reads see a prefix of it.
var Prefix = model(true)

func model(behind bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return empty },
		Step: func(state, in, out any) (bool, any) { return step(state.(*log), in.(input), out.(output), behind) },
		Equal: func(a, b any) bool {
			x, y := a.(*log), b.(*log)
			return x.length == y.length && x.hash == y.hash
		},
		DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
		DescribeState:     func(s any) string { return fmt.Sprintf("%d records", s.(*log).length) },
	}
}

func step(l *log, in input, out output, behind bool) (bool, any) {
	switch in.kind {
	case appendRecord:
		if !out.unknown && out.offset != unknownOffset && out.offset != l.length {
			return false, l
		}
		return true, l.with(in.value)
	case getRecord:
		if out.absent {
			return behind || in.offset >= l.length, l
		}
		return in.offset < l.length && l.at(in.offset) == out.value, l
	default:
		return out.offset == l.length || behind && out.offset < l.length, l
	}
}

func describe(in input, out output) string {
	switch {
	case in.kind == appendRecord && out.unknown:
		return fmt.Sprintf("append %d: unknown", in.value)
	case in.kind == appendRecord:
		return fmt.Sprintf("append %d: offset %d", in.value, out.offset)
	case in.kind == getRecord && out.absent:
		return fmt.Sprintf("get offset %d: nothing", in.offset)
	case in.kind == getRecord:
		return fmt.Sprintf("get offset %d: %d", in.offset, out.value)
	default:
		return fmt.Sprintf("end: %d", out.offset)
	}
}
