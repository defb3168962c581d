package config

import (
	"iter"
	"strings"

	"github.com/sluicemq/sluice/internal/setting"
)

// Key is one setting of a file, such as wal.capacity_bytes.
type Key struct {
	Name  string
	Value any // string, bool, int64, float64 or setting.List
}

// Keys yields every setting of c, a Broker or a Controller, in the order of the
// file.
func Keys(c any) iter.Seq[Key] {
	return func(yield func(Key) bool) {
		for f := range setting.Fields(c) {
			if !yield(Key{f.Key, f.Value()}) {
				return
			}
		}
	}
}

// With returns b with other values of some settings, each of the type that Keys has.
func (b Broker) With(keys []Key) (Broker, error) {
	var p setting.Problems
	for f := range setting.Fields(&b) {
		for _, k := range keys {
			if k.Name == f.Key {
				p.Add(f.Set(k.Value))
			}
		}
	}
	return b, p.Err()
}

// nearest returns the one of names that somebody who wrote key most likely meant.
func nearest(key string, names iter.Seq[string]) string {
	best, least := "", -1
	for name := range names {
		d := distance(key, name)
		// The right key in the wrong table.
		if own, other := last(key), last(name); strings.TrimSuffix(key, own) != strings.TrimSuffix(name, other) {
			d = min(d, 2+distance(own, other))
		}
		if least < 0 || d < least {
			best, least = name, d
		}
	}
	return best
}

func last(key string) string { return key[strings.LastIndexByte(key, '.')+1:] }

// distance is how many bytes must be put in, taken out or replaced to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
