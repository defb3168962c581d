package object

import "github.com/sluicemq/sluice/internal/topic"

// Sizer tells how large an object will be of whose batches only the sizes are known
// yet: exactly as large as a Writer makes it that is given the same in the
// same order. The zero value is an object without batches. Not safe for concurrent use.
type Sizer struct {
	data  int64 // of batches
	index int64 // of the footer's entries
	open  int64 // length of the open block
	last  topic.Partition
	begun bool

	sections int64
}

// Append takes in what the next Append of the Writer is given, of n bytes.
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

// AppendSection takes in a section of n bytes.
func (s *Sizer) AppendSection(n int64) {
	s.data += n
	s.sections++
}

// Size returns how many bytes the object has with what was appended.
func (s *Sizer) Size() int64 {
	index := s.index
	if s.sections > 0 {
		index += 4 + s.sections*sectionSize
	}
	return headerSize + s.data + footerFixedSize + index + trailerSize
}

// fits says whether batches of n bytes go into a block that has open bytes.
func fits(open, n int64) bool { return open == 0 || open+n <= BlockBytes }
