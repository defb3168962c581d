package group

import (
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/consensus/group/rebalance"
	"github.com/sluicemq/sluice/internal/topic"
)

// deleteOffsets serves OffsetDelete 0 (KIP-496).
func (c *Coordinator) deleteOffsets(req *kmsg.OffsetDeleteRequest, reply func(kmsg.Response)) {
	resp := kmsg.NewPtrOffsetDeleteResponse()
	finish := func(code int16) {
		if resp.ErrorCode = code; code != 0 {
			resp.Topics = nil
		}
		reply(resp)
	}
	if !validName(req.Group) {
		finish(kerr.InvalidGroupID.Code)
		return
	}
	c.on(req.Group, finish, func(l *lane) {
		e, ok := l.groups[req.Group]
		if !ok || e.g.State() == rebalance.Dead {
			finish(kerr.GroupIDNotFound.Code)
			return
		}
		uses := subscription{}
		if e.g.State() != rebalance.Empty {
			if e.g.ProtocolType() != consumerProtocol {
				finish(kerr.NonEmptyGroup.Code)
				return
			}
			uses = subscribed(e.g.Subscriptions())
		}
		gone := c.readDeletion(req, resp, uses)
		if len(gone) == 0 {
			finish(0)
			return
		}
		e.next.clear(gone)
		e.next.done = append(e.next.done, func(err error) { finish(codeOf(err)) })
		l.flush(e)
		l.refresh(e)
	})
}

// readDeletion determines which offsets can be deleted; the response has the codes.
func (c *Coordinator) readDeletion(req *kmsg.OffsetDeleteRequest, resp *kmsg.OffsetDeleteResponse, uses subscription) []topic.Partition {
	view := c.store.View()
	var gone []topic.Partition
	for _, rt := range req.Topics {
		if len(rt.Partitions) == 0 {
			continue // like Kafka, whose response has only topics with partitions
		}
		t, known := view.TopicByName(rt.Topic)
		st := kmsg.NewOffsetDeleteResponseTopic()
		st.Topic = rt.Topic
		for _, rp := range rt.Partitions {
			sp := kmsg.NewOffsetDeleteResponseTopicPartition()
			sp.Partition = rp.Partition
			switch {
			case !known || rp.Partition < 0 || int(rp.Partition) >= len(t.Partitions):
				sp.ErrorCode = kerr.UnknownTopicOrPartition.Code
			case uses.has(rt.Topic):
				sp.ErrorCode = kerr.GroupSubscribedToTopic.Code
			default:
				gone = append(gone, topic.Partition{Topic: t.ID, Index: rp.Partition})
			}
			st.Partitions = append(st.Partitions, sp)
		}
		resp.Topics = append(resp.Topics, st)
	}
	return gone
}
