package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// offsets are the offsets of one OffsetCommit.
type offsets map[topic.Partition]meta.CommittedOffset

// commit serves OffsetCommit 2-10. The retention time in versions 2 to 4 is ignored in favor of
// the broker's, which is what Kafka does in later versions (KIP-211).
func (c *Coordinator) commit(version int16, req *kmsg.OffsetCommitRequest, reply func(kmsg.Response)) {
	resp, set := c.readCommit(version, req)
	finish := func(code int16) {
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				p := &resp.Topics[i].Partitions[j]
				if p.ErrorCode == 0 || code != 0 && p.ErrorCode == kerr.OffsetMetadataTooLarge.Code { // takes precedence over errors of the whole request
					p.ErrorCode = code
				}
			}
		}
		reply(resp)
	}
	if len(req.Group) > maxName { // some clients used the empty id
		finish(kerr.InvalidGroupID.Code)
		return
	}
	var serve task
	serve = func(l *lane) {
		e := l.groups[req.Group]
		switch {
		case e != nil:
		case req.Generation >= 0:
			finish(noGroup(version))
			return
		case req.MemberID != "" || req.InstanceID != nil:
			finish(kerr.UnknownMemberID.Code)
			return
		case len(set) == 0: // creates no group and evicts none
			finish(0)
			return
		case !l.fits(nil, set, finish) || !l.admit(nil, needs(nil, req.Group, e.growth(set)), finish, serve):
			return
		default:
			e = l.insert(req.Group, l.machine(nil, req.Group))
		}
		on := func(eff rebalance.Effect) { l.commit(e, set, eff.(rebalance.Answer).Code, finish, serve) }
		l.step(e, rebalance.Commit{To: l.expect(waiter{on, finish}), MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation})
	}
	c.on(req.Group, finish, serve)
}

// noGroup returns the code for a member's commit to an unknown group (KIP-848).
func noGroup(version int16) int16 {
	if version >= 9 {
		return kerr.GroupIDNotFound.Code
	}
	return kerr.IllegalGeneration.Code
}

// idsFrom is the first version of OffsetCommit and OffsetFetch with topic ids.
const idsFrom = 10

// named looks up a topic as identified in that version. The code is for partitions of an
// unknown topic.
func named(view *meta.View, version int16, name string, id topic.ID) (t *meta.Topic, code int16) {
	var known bool
	if version >= idsFrom {
		t, known = view.TopicByID(id)
		code = kerr.UnknownTopicID.Code
	} else {
		t, known = view.TopicByName(name)
		code = kerr.UnknownTopicOrPartition.Code
	}
	if known {
		return t, 0
	}
	return nil, code
}

// readCommit determines which offsets can be committed. The response has the codes of the
// others.
func (c *Coordinator) readCommit(version int16, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, offsets) {
	view, now := c.store.View(), c.clock.Now().UnixMilli()
	resp, set := kmsg.NewPtrOffsetCommitResponse(), make(offsets)
	for _, rt := range req.Topics {
		if len(rt.Partitions) == 0 {
			continue // like Kafka, whose response has only topics with partitions
		}
		t, unknown := named(view, version, rt.Topic, rt.TopicID)
		st := kmsg.NewOffsetCommitResponseTopic()
		st.Topic, st.TopicID = rt.Topic, rt.TopicID
		for _, rp := range rt.Partitions {
			sp := kmsg.NewOffsetCommitResponseTopicPartition()
			sp.Partition = rp.Partition
			switch {
			case unknown != 0:
				sp.ErrorCode = unknown
			case rp.Partition < 0 || int(rp.Partition) >= len(t.Partitions):
				sp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case rp.Metadata != nil && len(*rp.Metadata) > c.cfg.OffsetMetadataBytes:
				sp.ErrorCode = kerr.OffsetMetadataTooLarge.Code
			default:
				o := meta.CommittedOffset{Offset: rp.Offset, LeaderEpoch: rp.LeaderEpoch, CommitMs: now}
				if rp.Metadata != nil {
					o.Metadata = *rp.Metadata
				}
				set[topic.Partition{Topic: t.ID, Index: rp.Partition}] = o
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return resp, set
}

// commit writes offsets, with whatever else waits for the group's next write, if the state
// machine allows. Later commits do not overtake one that waits for memory, so that offsets
// never go back.
func (l *lane) commit(e *laneGroup, set offsets, code int16, finish func(code int16), again task) {
	if code != 0 || len(set) == 0 {
		finish(code)
		return
	}
	if !l.fits(e, set, finish) {
		return
	}
	grows := e.growth(set)
	if e.claims > 0 && !l.resumed {
		l.park(&claim{need: amount{bytes: grows}, lane: l, group: e, run: again, refuse: finish})
		return
	}
	if !l.admit(e, amount{bytes: grows}, finish, again) {
		return
	}
	e.next.set(set)
	e.next.grows += grows
	e.next.done = append(e.next.done, func(err error) {
		if err == nil {
			l.c.metrics.commits.Inc()
		}
		finish(codeOf(err))
	})
	l.flush(e)
}

// fits reports whether the group may hold these offsets as well, in number and bytes; if not,
// the commit is refused. Writes in progress are not counted.
func (l *lane) fits(e *laneGroup, set offsets, finish func(code int16)) bool {
	grows := e.growth(set)
	if e.count(set, l.c.cfg.OffsetsPerGroup) <= l.c.cfg.OffsetsPerGroup && (grows == 0 || e.bytes()+grows <= l.c.cfg.share()) {
		return true
	}
	l.c.metrics.refused.Inc()
	finish(kerr.InvalidCommitOffsetSize.Code)
	return false
}

// count returns how many offsets the group has with set; the exact number only matters above
// most.
func (e *laneGroup) count(set offsets, most int) int {
	kept, waits := e.committed(), offsets(nil)
	if e != nil {
		waits = e.next.Set
	}
	n := len(kept) + len(waits) + len(set)
	if n <= most {
		return n
	}
	for p := range set {
		_, before := kept[p]
		_, next := waits[p]
		if before || next {
			n--
		}
	}
	for p := range waits {
		if _, before := kept[p]; before {
			n--
		}
	}
	return n
}

// codeOf returns a retriable code for a failed write, whatever its outcome.
func codeOf(err error) int16 {
	if err != nil {
		return kerr.CoordinatorNotAvailable.Code
	}
	return 0
}
