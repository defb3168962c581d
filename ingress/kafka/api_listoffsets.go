package kafka

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
)

// Timestamps that ask for a place instead of a time, and the version that
// introduced each.
const (
	latest        = -1
	earliest      = -2
	maxTimestamp  = -3 // v7, KIP-734
	earliestLocal = -4 // v8, KIP-405
	latestTiered  = -5 // v9, KIP-1005
)

var errListedSpecial = refuse(kerr.UnsupportedVersion, "this version of ListOffsets does not have that special timestamp")

// listOffsetsHandler serves ListOffsets. Places are answered at once; what needs
// a look at records is answered from the crew.
type listOffsetsHandler struct {
	lookup  *lookup.Lookup
	times   TimeIndex
	code    Coder
	slow    *crew
	timeout time.Duration
}

// listed is one partition of a request.
type listed struct {
	asked *kmsg.ListOffsetsRequestTopicPartition
	out   *kmsg.ListOffsetsResponseTopicPartition
	state *partition.State
}

func (h *listOffsetsHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	req := r.Body.(*kmsg.ListOffsetsRequest)
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	searches := h.places(req, resp)
	if len(searches) == 0 {
		reply(Response{Message: resp})
		return
	}
	h.slow.serve(ctx, reply, func() kmsg.Response {
		ctx, cancel := context.WithTimeout(ctx, timeout(req, h.timeout))
		defer cancel()
		each(len(searches), func(i int) { h.search(ctx, searches[i]) })
		return resp
	})
}

// places fills in what needs no search, and returns the rest.
func (h *listOffsetsHandler) places(req *kmsg.ListOffsetsRequest, resp *kmsg.ListOffsetsResponse) []listed {
	var searches []listed
	view := h.lookup.View()
	resp.Topics = make([]kmsg.ListOffsetsResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		out.Topic = t.Topic
		out.Partitions = make([]kmsg.ListOffsetsResponseTopicPartition, len(t.Partitions))
		found, err := lookup.ByName(view, t.Topic)
		for j := range t.Partitions {
			l := listed{asked: &t.Partitions[j], out: &out.Partitions[j]}
			l.out.Partition, l.out.Timestamp, l.out.Offset, l.out.LeaderEpoch = l.asked.Partition, -1, -1, -1
			search, err := h.place(req, &l, found, err)
			if err != nil {
				l.out.ErrorCode = h.code(err)
			} else if search {
				searches = append(searches, l)
			}
		}
	}
	return searches
}

func (h *listOffsetsHandler) place(req *kmsg.ListOffsetsRequest, l *listed, t *meta.Topic, err error) (search bool, _ error) {
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
	default:
		return false, errListedSpecial
	}
	return false, nil
}

// readCommitted is the isolation level of a reader who wants no open transactions.
const readCommitted = 1

// at answers with an offset and the epoch in which it was written, where known.
func (l *listed) at(offset int64) {
	l.out.Offset = offset
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

// newest finds the first of the records with the largest timestamp. The object
// that the log start lies in may owe its max timestamp to records that were
// deleted; when the search for it fails, the others decide.
func (h *listOffsetsHandler) newest(ctx context.Context, s *partition.State) (TimedOffset, bool, error) {
	whole, cut := int64(-1), int64(-1)
	if p, ok := h.lookup.View().Partition(s.ID); ok {
		for _, o := range p.Objects {
			switch {
			case o.Base >= s.LogStart():
				whole = max(whole, o.MaxTimestamp)
			case o.End > s.LogStart():
				cut = max(cut, o.MaxTimestamp)
			}
		}
	}
	whole = max(whole, tailTimestamp(s))
	if cut > whole {
		if at, ok, err := h.times.ByTime(ctx, s, cut); ok || err != nil {
			return at, ok, err
		}
	}
	if whole < 0 {
		return TimedOffset{}, false, nil
	}
	return h.times.ByTime(ctx, s, whole)
}

// tailTimestamp returns the largest timestamp in the WAL, -1 when it has none. It
// walks the tail a piece at a time so that a long one is not copied whole.
func tailTimestamp(s *partition.State) int64 {
	const piece = 4 << 20
	newest := int64(-1)
	start, ok := s.Tail.Start()
	buf := make([]partition.Entry, 0, 64)
	for from := max(start, s.LogStart()); ok; {
		buf, ok = s.Tail.From(buf[:0], from, math.MaxInt64, piece)
		if len(buf) == 0 {
			break
		}
		for _, e := range buf {
			newest = max(newest, e.MaxTimestamp)
		}
		from = buf[len(buf)-1].End()
	}
	return newest
}
