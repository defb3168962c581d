package logmetrics

import "sort"

// mark is the log end at a time, in ms since the epoch.
type mark struct{ end, at int64 }

// maxMarks limits the marks of a partition, of 16 bytes each.
const maxMarks = 64

// marks estimate when a record was appended. They ascend by both end and time. Two with the same
// end mean that the log did not grow between them. When full, they drop the mark whose neighbors
// are closest to each other relative to their age, so that the error stays proportional to the
// age.
type marks struct{ all []mark }

// note adds a mark. If the clock goes back, the time of the last mark is used.
func (m *marks) note(end, at int64) {
	n := len(m.all)
	if n > 0 {
		last := &m.all[n-1]
		at = max(at, last.at)
		if end < last.end {
			m.all, n = m.all[:0], 0 // the log was truncated
		} else if end == last.end && n > 1 && m.all[n-2].end == end {
			last.at = at
			return
		}
	}
	if n == maxMarks {
		m.thin(at)
	}
	m.all = append(m.all, mark{end, at})
}

func (m *marks) thin(now int64) {
	best, least := 1, 2.0
	for i := 1; i < len(m.all)-1; i++ {
		gap, age := m.all[i+1].at-m.all[i-1].at, now-m.all[i-1].at
		if part := float64(gap) / float64(max(age, 1)); part < least {
			best, least = i, part
		}
	}
	m.all = append(m.all[:best], m.all[best+1:]...)
}

// appended estimates when the record at offset was appended. ok is false for a record from
// before the first mark. For one after the last mark, it returns the time of that mark.
func (m *marks) appended(offset int64) (at int64, ok bool) {
	if m == nil {
		return 0, false
	}
	i := sort.Search(len(m.all), func(i int) bool { return m.all[i].end > offset })
	switch {
	case i == 0:
		return 0, false
	case i == len(m.all):
		return m.all[i-1].at, true
	}
	from, to := m.all[i-1], m.all[i]
	return from.at + int64(float64(to.at-from.at)*float64(offset+1-from.end)/float64(to.end-from.end)), true
}
