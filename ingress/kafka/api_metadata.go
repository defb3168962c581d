package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// metadataHandler serves Metadata from one View. A request that creates missing topics is
// completed in the changes pool.
type metadataHandler struct {
	cfg    *APIConfig
	lookup *lookup.Lookup
	admin  *topicAdmin
	code   Coder
	pool   *pool
}

func (h *metadataHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	req := r.Body.(*kmsg.MetadataRequest)
	if err := normalizeMetadata(req); err != nil {
		reply(Response{Message: refusedMetadata(req, h.code(err))})
		return
	}
	missing := h.missing(req)
	if len(missing) == 0 {
		reply(h.answer(req, nil))
		return
	}
	h.pool.respond(ctx, r, reply, func() Response {
		ctx, cancel := context.WithTimeout(ctx, h.cfg.ChangeTimeout)
		defer cancel()
		return h.answer(req, h.create(ctx, missing))
	})
}

// normalizeMetadata removes duplicate topics from req. If some are requested by id, those
// requested by name are ignored. An error means that Kafka refuses the whole request.
func normalizeMetadata(req *kmsg.MetadataRequest) error {
	byID, unnamed := false, false
	for i := range req.Topics {
		byID = byID || !topic.ID(req.Topics[i].TopicID).IsZero()
		unnamed = unnamed || req.Topics[i].Topic == nil
	}
	switch {
	case req.Version < 12 && (byID || unnamed):
		return refuse(kerr.InvalidRequest, "topic ids need version 12")
	case unnamed && !byID:
		return refuse(kerr.UnknownServerError, "a topic has neither name nor id") // Kafka has no specific code for it
	}
	ids, names := make(map[topic.ID]bool), make(map[string]bool)
	kept := req.Topics[:0]
	for _, t := range req.Topics {
		if byID {
			if id := topic.ID(t.TopicID); !id.IsZero() && !ids[id] {
				ids[id] = true
				kept = append(kept, kmsg.MetadataRequestTopic{TopicID: t.TopicID})
			}
		} else if !names[*t.Topic] {
			names[*t.Topic] = true
			kept = append(kept, t)
		}
	}
	if len(kept) < len(req.Topics) {
		req.Topics = kept
	}
	return nil
}

// refusedMetadata builds the response to a request refused as a whole.
func refusedMetadata(req *kmsg.MetadataRequest, code int16) *kmsg.MetadataResponse {
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ControllerID, resp.ErrorCode, resp.AuthorizedOperations = -1, code, notAsked
	for _, t := range req.Topics {
		if t.Topic == nil {
			t.Topic = new(string)
		}
		resp.Topics = append(resp.Topics, kmsg.MetadataResponseTopic{ErrorCode: code, Topic: t.Topic, TopicID: t.TopicID,
			AuthorizedOperations: notAsked})
	}
	return resp
}

// createdAtOnce limits the topics that one Metadata request creates; clients ask again for the
// rest.
const createdAtOnce = 100

// missing returns the names of the topics to create.
func (h *metadataHandler) missing(req *kmsg.MetadataRequest) []string {
	if !h.cfg.AutoCreateTopics || req.Version >= 4 && !req.AllowAutoTopicCreation {
		return nil
	}
	view := h.lookup.View()
	var names []string
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if name == nil || !autoCreatable(*name) {
			continue
		}
		if len(names) == createdAtOnce {
			break
		}
		if _, ok := view.TopicByName(*name); !ok {
			names = append(names, *name)
		}
	}
	return names
}

// autoCreatable excludes Kafka's internal topics, which some clients still ask for: groups and
// transactions live in the metadata quorum.
func autoCreatable(name string) bool {
	return topic.ValidateName(name) == nil && !topic.Reserved(name)
}

// create creates the topics and returns the errors by name.
func (h *metadataHandler) create(ctx context.Context, names []string) map[string]error {
	specs := make([]meta.TopicSpec, len(names))
	for i, name := range names {
		specs[i] = meta.TopicSpec{Name: name, Partitions: h.cfg.Partitions, Replication: h.admin.replication()}
	}
	failed := make(map[string]error)
	for i, err := range h.admin.createAll(ctx, specs) {
		if err != nil {
			failed[names[i]] = err
		}
	}
	return failed
}

// answer has a row for each topic, made while it is written: a small request may ask for all
// topics of a large cluster.
func (h *metadataHandler) answer(req *kmsg.MetadataRequest, failed map[string]error) Response {
	view := h.lookup.View()
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ClusterID = &view.ClusterID
	resp.ControllerID = view.Controller
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	resp.Brokers = make([]kmsg.MetadataResponseBroker, len(view.Brokers))
	w := metadataWriter{alive: make(map[int32]bool, len(view.Brokers)), operations: notAsked}
	for i, b := range view.Brokers {
		resp.Brokers[i] = kmsg.MetadataResponseBroker{NodeID: b.ID, Host: b.Host, Port: b.Port, Rack: rack(b)}
		w.alive[b.ID] = true
	}
	if req.IncludeTopicAuthorizedOperations {
		w.operations = topicOperations
	}
	if allTopics(req) {
		w.topics = view.Topics()
	} else {
		h.named(&w, view, req.Topics, failed)
	}
	return Response{parts: w.parts(resp)}
}

// allTopics tells whether a request asks for all topics.
func allTopics(req *kmsg.MetadataRequest) bool {
	return req.Topics == nil || req.Version == 0 && len(req.Topics) == 0
}

func (h *metadataHandler) named(w *metadataWriter, view *meta.View, asked []kmsg.MetadataRequestTopic, failed map[string]error) {
	w.topics, w.refused = make([]*meta.Topic, len(asked)), make(map[int]refusedTopic)
	for i := range asked {
		a := &asked[i]
		if a.Topic == nil {
			t, err := lookup.ByID(view, a.TopicID)
			w.set(i, a, t, h.code(err))
			continue
		}
		t, err := lookup.ByName(view, *a.Topic)
		if invalid := topic.ValidateName(*a.Topic); invalid != nil {
			err = invalid
		} else if err != nil && failed[*a.Topic] != nil {
			err = failed[*a.Topic]
		}
		w.set(i, a, t, h.code(err))
	}
}

// metadataWriter makes the rows of a response.
type metadataWriter struct {
	alive      map[int32]bool
	operations int32
	topics     []*meta.Topic
	refused    map[int]refusedTopic // by where topics has none
}

// refusedTopic is a topic of a request that is answered with an error.
type refusedTopic struct {
	asked *kmsg.MetadataRequestTopic
	code  int16
}

func (w *metadataWriter) set(i int, a *kmsg.MetadataRequestTopic, t *meta.Topic, code int16) {
	if code == 0 {
		w.topics[i] = t
	} else {
		w.refused[i] = refusedTopic{a, code}
	}
}

// lightPartitions is how many partitions are answered without a place among the requests that
// name much.
const lightPartitions = 1000

// parts has resp, which is without topics, around the rows.
func (w *metadataWriter) parts(resp *kmsg.MetadataResponse) *parts {
	row := kmsg.NewPtrMetadataResponse()
	row.SetVersion(resp.Version)
	whole, around := resp.AppendTo(nil), len(row.AppendTo(nil))
	tail, array := metadataTail(resp.Version), 4
	if resp.IsFlexible() {
		array = 1
	}
	a := &parts{head: whole[:len(whole)-tail-array], tail: whole[len(whole)-tail:], compact: resp.IsFlexible(), rows: len(w.topics)}
	partitions, most := 0, 0
	for _, t := range w.topics {
		if t != nil {
			partitions += len(t.Partitions)
			most = max(most, len(t.Partitions))
		}
	}
	a.held = metadataHeld(a.rows, most)
	a.heavy = partitions+a.rows > lightPartitions
	a.row = func(i int, to []byte) []byte {
		row.Topics = []kmsg.MetadataResponseTopic{w.topic(i)}
		return rowOf(row, around-tail-array, tail, to)
	}
	return a
}

// metadataTail is how many bytes follow the topics: cluster_authorized_operations in versions 8 to
// 10, error_code from 13 on, and tags from 9 on.
func metadataTail(version int16) (n int) {
	if version >= 8 && version <= 10 {
		n += 4
	}
	if version >= 13 {
		n += 2
	}
	if version >= 9 {
		n++
	}
	return n
}

func (w *metadataWriter) topic(i int) kmsg.MetadataResponseTopic {
	t := w.topics[i]
	if t == nil {
		r := w.refused[i]
		return kmsg.MetadataResponseTopic{ErrorCode: r.code, Topic: r.asked.Topic, TopicID: r.asked.TopicID, AuthorizedOperations: notAsked}
	}
	parts := make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		parts[i] = kmsg.MetadataResponseTopicPartition{Partition: int32(i), Leader: p.Leader, LeaderEpoch: p.Epoch,
			Replicas: p.Replicas, ISR: p.ISR, OfflineReplicas: w.offline(p.Replicas)}
		if p.Leader < 0 {
			parts[i].ErrorCode = kerr.LeaderNotAvailable.Code
		}
	}
	return kmsg.MetadataResponseTopic{Topic: &t.Name, TopicID: t.ID, IsInternal: t.Internal,
		Partitions: parts, AuthorizedOperations: w.operations}
}

func (w *metadataWriter) offline(replicas []int32) []int32 {
	var out []int32
	for _, r := range replicas {
		if !w.alive[r] {
			out = append(out, r)
		}
	}
	return out
}

func rack(b meta.Broker) *string {
	if b.Rack == "" {
		return nil
	}
	return &b.Rack
}

// Bits of authorized operations (KIP-430), by Kafka's numbers of ACL operations. Without ACLs a
// client may perform all that apply.
const (
	opRead = 3 + iota
	opWrite
	opCreate
	opDelete
	opAlter
	opDescribe
	opClusterAction
	opDescribeConfigs
	opAlterConfigs
	opIdempotentWrite
)

const (
	topicOperations int32 = 1<<opRead | 1<<opWrite | 1<<opCreate | 1<<opDelete | 1<<opAlter | 1<<opDescribe |
		1<<opDescribeConfigs | 1<<opAlterConfigs
	clusterOperations int32 = 1<<opCreate | 1<<opAlter | 1<<opDescribe | 1<<opClusterAction | 1<<opDescribeConfigs |
		1<<opAlterConfigs | 1<<opIdempotentWrite
	notAsked int32 = -1 << 31
)
