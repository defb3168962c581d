package object

import "github.com/sluicemq/sluice/internal/topic"

// Sizer computes the size of an object from the sizes of its batches: exactly the
// size that a Writer produces from the same batches in the same order. The zero
// value is an object without batches. Not safe for concurrent use.
type Sizer struct {
	data  int64 // of batches
	index int64 // of the footer's index
	open  int64 // length of the open block
	last  topic.Partition
	begun bool

	sections int64
}

// Append accounts for a Writer.Append of n bytes.
func (s *Sizer) Append(p topic.Partition, n int64) {
	if !s.begun || s.last != p {
		s.begun, s.last, s.open = true, p, 0
		s.index += rangeSize
	}
	if !fits(s.open, n) {
		s.open = 0
	}
	if s.open == 0 {
		s.index += blockSize
	}
	s.open += n
	s.data += n
}

// AppendSection accounts for a section of n bytes.
func (s *Sizer) AppendSection(n int64) {
	s.data += n
	s.sections++
}

// Size returns the size of the object with everything appended so far.
func (s *Sizer) Size() int64 {
	index := s.index
	if s.sections > 0 {
		index += 4 + s.sections*sectionSize
	}
	return headerSize + s.data + footerFixedSize + index + trailerSize
}

// fits reports whether batches of n bytes go into a block that has open bytes.
func fits(open, n int64) bool { return open == 0 || open+n <= BlockBytes }
