package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// metadataHandler serves Metadata from one View. A request that may create
// topics, and names some that do not exist, is finished on the crew.
type metadataHandler struct {
	cfg    *APIConfig
	lookup *lookup.Lookup
	admin  *topicAdmin
	code   Coder
	crew   *crew
}

func (h *metadataHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	req := r.Body.(*kmsg.MetadataRequest)
	missing := h.missing(req)
	if len(missing) == 0 {
		reply(Response{Message: h.answer(req, nil)})
		return
	}
	h.crew.serve(ctx, r, reply, func() kmsg.Response {
		ctx, cancel := context.WithTimeout(ctx, h.cfg.ChangeTimeout)
		defer cancel()
		return h.answer(req, h.create(ctx, missing))
	})
}

// createdAtOnce bounds the topics that one Metadata request creates; the client
// asks again for those that are still unknown.
const createdAtOnce = 100

// missing returns the names that are to be created, each once.
func (h *metadataHandler) missing(req *kmsg.MetadataRequest) []string {
	if !h.cfg.AutoCreateTopics || req.Version >= 4 && !req.AllowAutoTopicCreation {
		return nil
	}
	view := h.lookup.View()
	var names []string
	seen := make(map[string]bool)
	for i := range req.Topics {
		name := req.Topics[i].Topic
		if name == nil || seen[*name] || !autoCreatable(*name) {
			continue
		}
		if len(names) == createdAtOnce {
			break
		}
		if _, ok := view.TopicByName(*name); !ok {
			seen[*name] = true
			names = append(names, *name)
		}
	}
	return names
}

// autoCreatable keeps clients that still ask for Kafka's own topics from making
// them: groups and transactions live in the metadata quorum.
func autoCreatable(name string) bool {
	return topic.ValidateName(name) == nil && name != "__consumer_offsets" && name != "__transaction_state"
}

// create makes the topics and returns why some could not be made.
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

func (h *metadataHandler) answer(req *kmsg.MetadataRequest, failed map[string]error) *kmsg.MetadataResponse {
	view := h.lookup.View()
	resp := req.ResponseKind().(*kmsg.MetadataResponse)
	resp.ClusterID = &view.ClusterID
	resp.ControllerID = view.Controller
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	resp.Brokers = make([]kmsg.MetadataResponseBroker, len(view.Brokers))
	alive := make(map[int32]bool, len(view.Brokers))
	for i, b := range view.Brokers {
		resp.Brokers[i] = kmsg.MetadataResponseBroker{NodeID: b.ID, Host: b.Host, Port: b.Port, Rack: rack(b)}
		alive[b.ID] = true
	}
	w := metadataWriter{alive: alive}
	if req.IncludeTopicAuthorizedOperations {
		w.operations = topicOperations
	} else {
		w.operations = notAsked
	}
	if req.Topics == nil || req.Version == 0 && len(req.Topics) == 0 {
		w.all(view.Topics())
	} else {
		h.named(&w, view, req.Topics, failed)
	}
	resp.Topics = w.topics
	return resp
}

func (h *metadataHandler) named(w *metadataWriter, view *meta.View, asked []kmsg.MetadataRequestTopic, failed map[string]error) {
	w.topics = make([]kmsg.MetadataResponseTopic, 0, len(asked))
	for i := range asked {
		a := &asked[i]
		if a.Topic == nil {
			t, err := lookup.ByID(view, a.TopicID)
			if err != nil {
				w.refuse(a, h.code(err))
			} else {
				w.topic(t)
			}
			continue
		}
		t, err := lookup.ByName(view, *a.Topic)
		switch invalid := topic.ValidateName(*a.Topic); {
		case invalid != nil:
			w.refuse(a, h.code(invalid))
		case err == nil:
			w.topic(t)
		case failed[*a.Topic] != nil:
			w.refuse(a, h.code(failed[*a.Topic]))
		default:
			w.refuse(a, h.code(err))
		}
	}
}

// metadataWriter builds the topics of a response.
type metadataWriter struct {
	alive      map[int32]bool
	operations int32
	topics     []kmsg.MetadataResponseTopic
}

func (w *metadataWriter) all(topics []*meta.Topic) {
	w.topics = make([]kmsg.MetadataResponseTopic, 0, len(topics))
	for _, t := range topics {
		w.topic(t)
	}
}

func (w *metadataWriter) refuse(a *kmsg.MetadataRequestTopic, code int16) {
	w.topics = append(w.topics, kmsg.MetadataResponseTopic{ErrorCode: code, Topic: a.Topic, TopicID: a.TopicID,
		AuthorizedOperations: notAsked})
}

func (w *metadataWriter) topic(t *meta.Topic) {
	parts := make([]kmsg.MetadataResponseTopicPartition, len(t.Partitions))
	for i, p := range t.Partitions {
		parts[i] = kmsg.MetadataResponseTopicPartition{Partition: int32(i), Leader: p.Leader, LeaderEpoch: p.Epoch,
			Replicas: p.Replicas, ISR: p.ISR, OfflineReplicas: w.offline(p.Replicas)}
		if p.Leader < 0 {
			parts[i].ErrorCode = kerr.LeaderNotAvailable.Code
		}
	}
	w.topics = append(w.topics, kmsg.MetadataResponseTopic{Topic: &t.Name, TopicID: t.ID, IsInternal: t.Internal,
		Partitions: parts, AuthorizedOperations: w.operations})
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

// Bit fields of the operations a client may do (KIP-430), by Kafka's numbers of
// ACL operations. Without ACLs a client may do all that apply.
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
