package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
)

// place is a starting position in a log.
type place struct {
	kind placeKind
	at   int64 // offset, or Unix milliseconds
}

type placeKind int

const (
	atStart placeKind = iota
	atEnd
	atOffset
	atTime
)

// parsePlace parses start, end, an offset, a time, or @ and Unix milliseconds.
func parsePlace(s string) (place, error) {
	switch s {
	case "start":
		return place{kind: atStart}, nil
	case "end":
		return place{kind: atEnd}, nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n >= 0 {
		return place{kind: atOffset, at: n}, nil
	}
	if s != "" && s[0] == '@' {
		if n, err := strconv.ParseInt(s[1:], 10, 64); err == nil && n >= 0 {
			return place{kind: atTime, at: n}, nil
		}
	}
	t, err := parseTime(s)
	if err != nil {
		return place{}, fmt.Errorf("%q is neither start, end, an offset, nor a time such as 2026-01-31T12:00:00Z", s)
	}
	return place{kind: atTime, at: t.UnixMilli()}, nil
}

// span is the readable range of a partition.
type span struct {
	topic     string
	partition int32
	start     int64 // first available offset
	from, end int64
}

// resolve finds p in each partition of topics, within its readable range.
func resolve(ctx context.Context, a *kadm.Client, p place, topics ...string) ([]span, error) {
	starts, err := offsets(a.ListStartOffsets(ctx, topics...))
	if err != nil {
		return nil, err
	}
	ends, err := offsets(a.ListEndOffsets(ctx, topics...))
	if err != nil {
		return nil, err
	}
	var times kadm.ListedOffsets
	if p.kind == atTime {
		if times, err = offsets(a.ListOffsetsAfterMilli(ctx, p.at, topics...)); err != nil {
			return nil, err
		}
	}
	var out []span
	ends.Each(func(e kadm.ListedOffset) {
		start, _ := starts.Lookup(e.Topic, e.Partition)
		s := span{e.Topic, e.Partition, start.Offset, start.Offset, e.Offset}
		switch p.kind {
		case atEnd:
			s.from = e.Offset
		case atOffset:
			s.from = min(max(p.at, start.Offset), e.Offset)
		case atTime:
			s.from = e.Offset
			if t, ok := times.Lookup(e.Topic, e.Partition); ok && t.Offset >= 0 {
				s.from = max(t.Offset, start.Offset)
			}
		}
		out = append(out, s)
	})
	slices.SortFunc(out, func(a, b span) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	return out, nil
}

// offsets turns an error of one partition into an error of the call.
func offsets(all kadm.ListedOffsets, err error) (kadm.ListedOffsets, error) {
	if err != nil {
		return nil, fmt.Errorf("list offsets: %w", err)
	}
	all.Each(func(o kadm.ListedOffset) {
		if o.Err != nil && err == nil {
			err = ofPartition(o.Topic, o.Partition, -1, o.Err)
		}
	})
	return all, err
}
