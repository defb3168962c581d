package main

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"
)

// roundHeader distinguishes the rounds of the data set.
const roundHeader = "round"

// ledger records what was produced and acknowledged, and checks what is read against it.
// Records are numbered in order of production; number n is event n modulo the number of events,
// in round n divided by it.
type ledger struct {
	data       *dataset
	partitions int

	mu       sync.Mutex
	places   []place          // by number
	byKey    map[string]int32 // the partition of each key
	acked    int
	firstErr error
	orders   [][]int // by partition: the numbers in it, in order; built by verifyAcks
	next     []int   // by partition: how many were read
	read     int
}

// place is where a record was acknowledged; offset -1 means not yet.
type place struct {
	partition int32
	offset    int64
}

func newLedger(data *dataset, partitions int) *ledger {
	return &ledger{data: data, partitions: partitions, byKey: map[string]int32{}, next: make([]int, partitions)}
}

// record creates the next record.
func (l *ledger) record(topic string) (n int, r *kgo.Record) {
	l.mu.Lock()
	n = len(l.places)
	l.places = append(l.places, place{offset: -1})
	l.mu.Unlock()
	e, round := l.at(n)
	return n, &kgo.Record{Topic: topic, Key: []byte(e.key), Value: e.value, Timestamp: e.time,
		Headers: []kgo.RecordHeader{{Key: roundHeader, Value: strconv.AppendInt(nil, int64(round), 10)}}}
}

func (l *ledger) at(n int) (e *event, round int) {
	return &l.data.events[n%len(l.data.events)], n / len(l.data.events)
}

// acknowledge records the broker's response for record n, and returns how many were
// acknowledged so far.
func (l *ledger) acknowledge(n int, r *kgo.Record, err error) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.firstErr == nil {
			l.firstErr = fmt.Errorf("record %d was not taken: %w", n, err)
		}
		return l.acked
	}
	l.places[n] = place{r.Partition, r.Offset}
	l.acked++
	return l.acked
}

// counts returns how many records were created and how many acknowledged.
func (l *ledger) counts() (made, acked int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places), l.acked
}

// verifyAcks is called once nothing is in progress. It checks that all records were acknowledged,
// at dense offsets in order of production.
func (l *ledger) verifyAcks() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.firstErr != nil {
		return l.firstErr
	}
	l.orders = make([][]int, l.partitions)
	for n, at := range l.places {
		e, round := l.at(n)
		if at.offset < 0 {
			return fmt.Errorf("round %d of event %s was never acknowledged", round, e.id)
		}
		if p, seen := l.byKey[e.key]; seen && p != at.partition {
			return fmt.Errorf("key %s is in partitions %d and %d", e.key, p, at.partition)
		}
		l.byKey[e.key] = at.partition
		if want := int64(len(l.orders[at.partition])); at.offset != want {
			return fmt.Errorf("partition %d: round %d of event %s was acknowledged at offset %d where %d comes next",
				at.partition, round, e.id, at.offset, want)
		}
		l.orders[at.partition] = append(l.orders[at.partition], n)
	}
	return nil
}

// check checks a record that was read, and returns what is wrong with it. Call it only after
// verifyAcks.
func (l *ledger) check(r *kgo.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Partition < 0 || int(r.Partition) >= l.partitions {
		return fmt.Errorf("a record of partition %d, which there is not", r.Partition)
	}
	order, next := l.orders[r.Partition], l.next[r.Partition]
	switch {
	case r.Offset < int64(next):
		return fmt.Errorf("partition %d: offset %d was read twice", r.Partition, r.Offset)
	case r.Offset > int64(next):
		return fmt.Errorf("partition %d: offset %d is missing, %d was read", r.Partition, next, r.Offset)
	case next >= len(order):
		return fmt.Errorf("partition %d: offset %d is a record that nobody produced, or that is there twice", r.Partition, r.Offset)
	}
	e, round := l.at(order[next])
	at := fmt.Sprintf("partition %d offset %d", r.Partition, r.Offset)
	switch {
	case string(r.Key) != e.key:
		return fmt.Errorf("%s: key %q, produced was %q", at, r.Key, e.key)
	case len(r.Headers) != 1 || r.Headers[0].Key != roundHeader || string(r.Headers[0].Value) != strconv.Itoa(round):
		return fmt.Errorf("%s: headers %v, produced was round %d", at, r.Headers, round)
	case !bytes.Equal(r.Value, e.value):
		return fmt.Errorf("%s: the value is not that of event %s", at, e.id)
	case !r.Timestamp.Equal(e.time):
		return fmt.Errorf("%s: timestamp %s, produced was %s", at, r.Timestamp, e.time)
	}
	l.next[r.Partition]++
	l.read++
	return nil
}

// unread returns how many records are still to be read.
func (l *ledger) unread() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.places) - l.read
}
