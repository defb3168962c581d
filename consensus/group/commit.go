package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// offsets are those of one OffsetCommit.
type offsets map[topic.Partition]meta.CommittedOffset

// commit serves OffsetCommit 2-10. The retention that versions 2 to 4 can ask for
// is that of the broker, as it is in Kafka for all later versions (KIP-211).
func (c *Coordinator) commit(version int16, req *kmsg.OffsetCommitRequest, reply func(kmsg.Response)) {
	resp, set := c.readCommit(version, req)
	finish := func(code int16) {
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				p := &resp.Topics[i].Partitions[j]
				if p.ErrorCode == 0 || code != 0 && p.ErrorCode == kerr.OffsetMetadataTooLarge.Code { // which is less than what is wrong with all
					p.ErrorCode = code
				}
			}
		}
		reply(resp)
	}
	if len(req.Group) > maxName { // the empty name is one that clients used once
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
		case len(set) == 0: // no group is made for it, and none gives way
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

// noGroup is the code for a member's commit to a group that is not there (KIP-848).
func noGroup(version int16) int16 {
	if version >= 9 {
		return kerr.GroupIDNotFound.Code
	}
	return kerr.IllegalGeneration.Code
}

// idsFrom is the first version of OffsetCommit and OffsetFetch that names topics by their
// ids.
const idsFrom = 10

// named finds a topic as a request of that version names it. Code is for the partitions of one
// that there is not.
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

// readCommit finds out which offsets can be committed. The response has the
// codes of the others.
func (c *Coordinator) readCommit(version int16, req *kmsg.OffsetCommitRequest) (*kmsg.OffsetCommitResponse, offsets) {
	view, now := c.store.View(), c.clock.Now().UnixMilli()
	resp, set := kmsg.NewPtrOffsetCommitResponse(), make(offsets)
	for _, rt := range req.Topics {
		if len(rt.Partitions) == 0 {
			continue // as Kafka, whose answer has partitions
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

// commit has offsets written, with whatever else is waiting for the group's next
// write, if the machine allows it. What waits for room is not passed by what comes later,
// for offsets must not go back.
func (l *lane) commit(e *entry, set offsets, code int16, finish func(code int16), again task) {
	if code != 0 || len(set) == 0 {
		finish(code)
		return
	}
	if !l.fits(e, set, finish) {
		return
	}
	grows := e.growth(set)
	if e.claims > 0 && !l.resumed {
		l.park(&claim{need: amount{bytes: grows}, lane: l, entry: e, run: again, refuse: finish})
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

// fits reports whether the group, if it is there, may have these offsets too, in number
// and in bytes; else the commit is refused. What is being written just now is not counted.
func (l *lane) fits(e *entry, set offsets, finish func(code int16)) bool {
	grows := e.growth(set)
	if e.count(set, l.c.cfg.OffsetsPerGroup) <= l.c.cfg.OffsetsPerGroup && (grows == 0 || e.bytes()+grows <= l.c.cfg.share()) {
		return true
	}
	l.c.metrics.refused.Inc()
	finish(kerr.InvalidCommitOffsetSize.Code)
	return false
}

// count is how many offsets the group has with set, or more if that is not above most.
func (e *entry) count(set offsets, most int) int {
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

// codeOf tells clients of a failed write: it may be tried again, whatever became
// of it.
func codeOf(err error) int16 {
	if err != nil {
		return kerr.CoordinatorNotAvailable.Code
	}
	return 0
}
