package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
)

// Special timestamps, with the version that introduced each.
const (
	latest        = -1
	earliest      = -2
	maxTimestamp  = -3 // v7, KIP-734
	earliestLocal = -4 // v8, KIP-405
	latestTiered  = -5 // v9, KIP-1005
	firstUntiered = -6 // v11, KIP-1023
)

var (
	errListedSpecial = refuse(kerr.UnsupportedVersion, "this version of ListOffsets does not have that special timestamp")
	errListedTwice   = refuse(kerr.InvalidRequest, "the partition is named twice")
)

// listOffsetsHandler serves ListOffsets. Special timestamps are answered at once where
// possible; lookups that read records run in the searches pool.
type listOffsetsHandler struct {
	lookup  *lookup.Lookup
	times   TimeIndex
	code    Coder
	pool    *pool
	timeout time.Duration
}

// listed is one requested partition.
type listed struct {
	asked *kmsg.ListOffsetsRequestTopicPartition
	out   *kmsg.ListOffsetsResponseTopicPartition
	state *partition.State
}

func (h *listOffsetsHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	req := r.Body.(*kmsg.ListOffsetsRequest)
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	if req.IsolationLevel < 0 || req.IsolationLevel > readCommitted {
		refuseListed(req, resp)
		reply(Response{Message: resp})
		return
	}
	searches := h.resolve(req, resp)
	if len(searches) == 0 {
		reply(Response{Message: resp})
		return
	}
	h.pool.serve(ctx, r, reply, func() kmsg.Response {
		ctx, cancel := context.WithTimeout(ctx, timeout(req, h.timeout))
		defer cancel()
		each(len(searches), func(i int) { h.search(ctx, searches[i]) })
		return resp
	})
}

// resolve answers what needs no search and returns the rest. As in Kafka, a duplicate topic is
// answered once, and a duplicate partition is refused.
func (h *listOffsetsHandler) resolve(req *kmsg.ListOffsetsRequest, resp *kmsg.ListOffsetsResponse) []listed {
	var searches []listed
	view := h.lookup.View()
	topics := distinct(req.Topics,
		func(t *kmsg.ListOffsetsRequestTopic) (string, []kmsg.ListOffsetsRequestTopicPartition) {
			return t.Topic, t.Partitions
		},
		func(p *kmsg.ListOffsetsRequestTopicPartition) int32 { return p.Partition })
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(topics))
	for i, t := range topics {
		out := &resp.Topics[i]
		out.Topic = t.name
		out.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.partitions))
		found, err := lookup.ByName(view, t.name)
		for j, p := range t.partitions {
			l := listed{asked: p.asked, out: &out.Partitions[j]}
			l.nothing()
			search, err := h.place(req, &l, p.again, found, err)
			if err != nil {
				l.out.ErrorCode = h.code(err)
			} else if search {
				searches = append(searches, l)
			}
		}
	}
	return searches
}

// nothing answers that no such offset exists.
func (l *listed) nothing() {
	l.out.Partition, l.out.Timestamp, l.out.Offset, l.out.LeaderEpoch = l.asked.Partition, -1, -1, -1
}

// refuseListed answers a request with an invalid isolation level. Like Kafka, which fails on
// each, it reports the error for every listed partition, duplicates included.
func refuseListed(req *kmsg.ListOffsetsRequest, resp *kmsg.ListOffsetsResponse) {
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			l := listed{asked: &t.Partitions[j], out: &out.Partitions[j]}
			l.nothing()
			l.out.ErrorCode = kerr.UnknownServerError.Code
		}
	}
}

func (h *listOffsetsHandler) place(req *kmsg.ListOffsetsRequest, l *listed, again bool, t *meta.Topic, err error) (search bool, _ error) {
	if again { // whatever its timestamp
		return false, errListedTwice
	}
	if err != nil {
		return false, err
	}
	if l.state, err = h.lookup.Partition(t, l.asked.Partition); err != nil {
		return false, err
	}
	s := l.state
	if err := lookup.CheckEpoch(s, l.asked.CurrentLeaderEpoch); err != nil {
		return false, err
	}
	switch ts := l.asked.Timestamp; {
	case ts >= 0 || ts == maxTimestamp && req.Version >= 7:
		return true, nil
	case ts == latest:
		l.out.Offset, l.out.LeaderEpoch = s.HighWatermark(), s.Epoch()
		if req.IsolationLevel == readCommitted {
			l.out.Offset = s.LastStable()
		}
	case ts == earliest:
		l.at(s.LogStart())
	case ts == earliestLocal && req.Version >= 8:
		local, ok := s.Tail.Start()
		if !ok {
			local = s.HighWatermark()
		}
		l.at(max(local, s.LogStart()))
	case ts == latestTiered && req.Version >= 9:
		if last := s.TierEnd() - 1; last >= s.LogStart() {
			l.at(last)
		}
	case ts == firstUntiered && req.Version >= 11:
		l.at(max(s.TierEnd(), s.LogStart()))
	default:
		return false, errListedSpecial
	}
	return false, nil
}

// readCommitted is the isolation level that hides open transactions.
const readCommitted = 1

// at answers with an offset and its leader epoch, if known. An offset not yet written belongs
// to the current epoch.
func (l *listed) at(offset int64) {
	l.out.Offset = offset
	if offset >= l.state.HighWatermark() {
		l.out.LeaderEpoch = l.state.Epoch()
		return
	}
	for _, e := range l.state.Epochs() {
		if e.Start <= offset {
			l.out.LeaderEpoch = e.Epoch
		}
	}
}

func (h *listOffsetsHandler) search(ctx context.Context, l listed) {
	var at TimedOffset
	var ok bool
	var err error
	if l.asked.Timestamp == maxTimestamp {
		at, ok, err = h.newest(ctx, l.state)
	} else {
		at, ok, err = h.times.ByTime(ctx, l.state, l.asked.Timestamp)
	}
	switch {
	case err != nil:
		l.out.ErrorCode = h.code(err)
	case ok:
		l.out.Offset, l.out.Timestamp, l.out.LeaderEpoch = at.Offset, at.Timestamp, at.Epoch
	}
}

// noTimestamp is the timestamp of a record whose producer set none.
const noTimestamp = -1

// newest finds the first of the records with the largest timestamp. The index holds only the
// max timestamp of each object and WAL range, which may belong to a record below the log start
// or above the high watermark if one of them lies inside. If that matters, a binary search over
// timestamps decides.
func (h *listOffsetsHandler) newest(ctx context.Context, s *partition.State) (best TimedOffset, ok bool, err error) {
	whole, partial := h.newestByIndex(s)
	if whole >= 0 {
		if best, ok, err = h.times.ByTime(ctx, s, whole); err != nil || ok && partial <= best.Timestamp {
			return best, ok, err
		}
	}
	// A record at low or later is known to exist; none is later than high.
	for low, high, middle := whole, partial, partial; low < high; middle = low + (high-low+1)/2 {
		at, found, err := h.times.ByTime(ctx, s, middle)
		switch {
		case err != nil:
			return at, false, err
		case found:
			best, ok, low = at, true, max(at.Timestamp, middle)
		default:
			high = middle - 1
		}
	}
	if ok { // the first record with that timestamp
		return h.times.ByTime(ctx, s, best.Timestamp)
	}
	if s.LogStart() < s.HighWatermark() { // no record has a timestamp: return the first
		return h.times.ByTime(ctx, s, noTimestamp)
	}
	return best, false, nil
}

// newestByIndex returns the largest timestamp of the objects and WAL ranges entirely between
// log start and high watermark, and of those partly outside; -1 if there are none.
func (h *listOffsetsHandler) newestByIndex(s *partition.State) (whole, partial int64) {
	whole, partial = -1, -1
	start, end := s.LogStart(), s.HighWatermark()
	note := func(base, to, timestamp int64) {
		switch {
		case base >= start && to <= end:
			whole = max(whole, timestamp)
		case to > start && base < end:
			partial = max(partial, timestamp)
		}
	}
	if p, ok := h.lookup.View().Partition(s.ID); ok {
		for _, o := range p.Objects {
			note(o.Base, o.End, o.MaxTimestamp)
		}
	}
	for e := range s.Tail.Entries(start, end) {
		note(e.Base, e.End(), e.MaxTimestamp)
	}
	return whole, partial
}
