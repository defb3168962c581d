package logmetrics

import "sort"

// mark says that the log ended at end at a time, in ms since epoch.
type mark struct{ end, at int64 }

// maxMarks is how many marks a partition has, 16 bytes each.
const maxMarks = 64

// marks tell when a record was appended. They ascend in both; two with one end say that the
// log did not grow between them. When they are full, the one goes whose neighbours are the
// nearest to each other for their age, so that how exact they are is a part of the age.
type marks struct{ all []mark }

// note adds that the log ends at end at a time. A clock that goes back stands still.
func (m *marks) note(end, at int64) {
	n := len(m.all)
	if n > 0 {
		last := &m.all[n-1]
		at = max(at, last.at)
		if end < last.end {
			m.all, n = m.all[:0], 0 // the log was cut off
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

// appended returns about when the record at offset was appended; ok is false for one from
// before the first mark. One from behind the last has come since that.
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
