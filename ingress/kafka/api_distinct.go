package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// errNoTime answers topic changes with a negative timeout. As in Kafka, nothing is checked and
// every element gets this error.
var errNoTime = refuse(kerr.RequestTimedOut, "the request's timeout is negative; nothing was done")

// distinctNames returns the first item of each name and how often each name occurs. Duplicates
// are ambiguous, so nothing is done for them.
func distinctNames[T any](items []T, name func(*T) string) (first []*T, times map[string]int) {
	times = make(map[string]int, len(items))
	for i := range items {
		n := name(&items[i])
		if times[n]++; times[n] == 1 {
			first = append(first, &items[i])
		}
	}
	return first, times
}

func pointers[T any](items []T) []*T {
	out := make([]*T, len(items))
	for i := range items {
		out[i] = &items[i]
	}
	return out
}

func topicTwice(name string, times int) error {
	return refuse(kerr.InvalidRequest, fmt.Sprintf("topic %q is in the request %d times", name, times))
}

// distinctTopic merges all entries of one topic in a request.
type distinctTopic[P any] struct {
	name       string
	partitions []distinctPartition[P]
}

// distinctPartition is the last entry of a partition in a request.
type distinctPartition[P any] struct {
	asked *P
	again bool // listed more than once
}

// distinct merges duplicate topics and partitions in order of first occurrence, without topics
// that have no partitions, which Kafka omits too. read returns the name and the partitions of a
// topic, index the number of a partition.
func distinct[T, P any](topics []T, read func(*T) (string, []P), index func(*P) int32) []distinctTopic[P] {
	out := make([]distinctTopic[P], 0, len(topics))
	at := make(map[string]int, len(topics))
	for i := range topics {
		name, partitions := read(&topics[i])
		if len(partitions) == 0 {
			continue
		}
		n, known := at[name]
		if !known {
			n = len(out)
			at[name] = n
			out = append(out, distinctTopic[P]{name: name, partitions: make([]distinctPartition[P], 0, len(partitions))})
		}
		for j := range partitions {
			out[n].partitions = append(out[n].partitions, distinctPartition[P]{asked: &partitions[j]})
		}
	}
	for i := range out {
		out[i].partitions = distinctPartitions(out[i].partitions, index)
	}
	return out
}

func distinctPartitions[P any](all []distinctPartition[P], index func(*P) int32) []distinctPartition[P] {
	inOrder := true
	for i := 1; i < len(all) && inOrder; i++ {
		inOrder = index(all[i-1].asked) < index(all[i].asked)
	}
	if inOrder { // no duplicates
		return all
	}
	at, kept := make(map[int32]int, len(all)), all[:0]
	for _, p := range all {
		if n, twice := at[index(p.asked)]; twice {
			kept[n] = distinctPartition[P]{asked: p.asked, again: true}
			continue
		}
		at[index(p.asked)] = len(kept)
		kept = append(kept, p)
	}
	return kept
}
