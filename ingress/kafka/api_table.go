package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/partition"
	"github.com/sluicemq/sluice/internal/topic"
	"github.com/sluicemq/sluice/pipeline"
)

// Appender takes the batches of one request from who into the write pipeline and calls done
// once, when all have settled: with nil if each is as durable as promised or carries its own
// Err, with an error if the pipeline failed them. The appends and their bytes belong to the
// pipeline until then.
type Appender interface {
	Append(ctx context.Context, who pipeline.Holder, appends []flow.Append, done func(error))
}

// Fetcher serves Fetch requests, charging who. reply is called once with the encoded body;
// release, which may be nil, is called once the body was written or dropped. If charged is
// true, the request is charged to the Fetcher's own budget when Fetch returns, which may be
// long before the reply.
type Fetcher interface {
	Fetch(ctx context.Context, who pipeline.Holder, req *kmsg.FetchRequest, reply func(body net.Buffers, release func())) (charged bool)
}

// TopicChanger changes topics. Each method returns once the local View shows the change; errors
// are those of package meta.
type TopicChanger interface {
	CreateTopic(context.Context, meta.TopicSpec) (*meta.Topic, error)
	DeleteTopic(context.Context, topic.ID) error
	GrowTopic(ctx context.Context, id topic.ID, partitions int32) error
	AlterTopic(ctx context.Context, id topic.ID, set map[string]string, del []string) error
	SetLogStart(ctx context.Context, p topic.Partition, offset int64) error
}

// TimedOffset is a record found by timestamp.
type TimedOffset struct {
	Offset, Timestamp int64 // ms since epoch
	Epoch             int32
}

// TimeIndex finds records by timestamp. It may read the WAL and objects.
type TimeIndex interface {
	// ByTime finds the first record at or after the log start whose timestamp is at least ms.
	// ok is false if there is none.
	ByTime(ctx context.Context, s *partition.State, ms int64) (at TimedOffset, ok bool, err error)
}

// ProducerIDs reserves producer ids that were never used before.
type ProducerIDs interface {
	AllocateProducerIDs(ctx context.Context, n int32) (first int64, err error)
}

// GroupClient identifies the sender of a group request.
type GroupClient struct{ ID, Host string }

// Groups serves consumer group requests. reply is called once, at any later time; the context
// is that of the connection.
type Groups interface {
	Serve(ctx context.Context, who GroupClient, version int16, req kmsg.Request, reply func(kmsg.Response))
}

// GroupsFunc adapts a function to Groups.
type GroupsFunc func(context.Context, GroupClient, int16, kmsg.Request, func(kmsg.Response))

// Serve calls f.
func (f GroupsFunc) Serve(ctx context.Context, who GroupClient, version int16, req kmsg.Request, reply func(kmsg.Response)) {
	f(ctx, who, version, req, reply)
}

// Deps holds what the handlers call. Everything but Tracer is required.
type Deps struct {
	Node        int32 // this broker's id
	Lookup      *lookup.Lookup
	Topics      TopicChanger
	Appender    Appender
	Fetcher     Fetcher
	Times       TimeIndex
	ProducerIDs ProducerIDs
	Groups      Groups
	GroupMemory func() (used, limit int64) // of all groups; nil: unknown
	// OffsetBytes is what a request's answer has of committed offsets; set with GroupMemory.
	OffsetBytes func(*kmsg.OffsetFetchRequest) int64
	LogDirs     LogDirs
	Producers   ProducerStates
	Quorum      func() Quorum
	code        Coder // set by NewHandlers
	Log         *slog.Logger
	LogLevel    *slog.LevelVar // of Log; clients can read and change it
	// Tracer starts a span for each Produce and Fetch; nil disables tracing.
	Tracer trace.Tracer
}

func (d *Deps) validate() error {
	for name, missing := range map[string]bool{"Lookup": d.Lookup == nil, "Topics": d.Topics == nil,
		"Appender": d.Appender == nil, "Fetcher": d.Fetcher == nil, "Times": d.Times == nil,
		"ProducerIDs": d.ProducerIDs == nil, "Groups": d.Groups == nil, "LogDirs": d.LogDirs == nil, "Producers": d.Producers == nil, "Quorum": d.Quorum == nil, "Log": d.Log == nil, "LogLevel": d.LogLevel == nil} {
		if missing {
			return fmt.Errorf("kafka: Deps.%s is not set", name)
		}
	}
	return nil
}

// Handlers serves every API except ApiVersions, which belongs to the connection.
type Handlers struct {
	cfg  APIConfig
	deps Deps
	// Separate pools: metadata changes never wait behind searches, which wait for storage.
	changes, searches *pool
	ids               *producerIDs
	admin             *topicAdmin
}

// NewHandlers returns the handlers. Call Close after the last connection has ended.
func NewHandlers(cfg APIConfig, deps Deps) (*Handlers, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := deps.validate(); err != nil {
		return nil, err
	}
	deps.code = noticed(deps.Log)
	return &Handlers{cfg: cfg, deps: deps, changes: newPool(cfg.Changes, deps.Log), searches: newPool(cfg.Changes, deps.Log),
		ids:   newProducerIDs(deps.ProducerIDs, cfg.ProducerIDBlock),
		admin: &topicAdmin{cfg: cfg, node: deps.Node, lookup: deps.Lookup, topics: deps.Topics, log: deps.Log, level: deps.LogLevel, reserved: newReservations()}}, nil
}

// Close waits for changes in progress. Nothing may be served afterwards.
func (h *Handlers) Close() {
	h.changes.close()
	h.searches.close()
}

// Table returns the served APIs for the dispatcher, sorted by key. Version ranges are those of
// Kafka 4, extended down to what clients in use still send; docs/protocol/kafka.md lists them
// with reasons.
func (h *Handlers) Table() []API {
	d, cfg := &h.deps, &h.cfg
	return []API{
		{kmsg.Produce.Int16(), 3, 13, h.bounded(traced(d.Tracer, &produceHandler{lookup: d.Lookup, appender: d.Appender, code: d.code})), nil},
		{kmsg.Fetch.Int16(), 4, 18, h.bounded(traced(d.Tracer, fetchHandler{d.Fetcher})), nil},
		{kmsg.ListOffsets.Int16(), 1, 11, h.bounded(&listOffsetsHandler{lookup: d.Lookup, times: d.Times, code: d.code, pool: h.searches, timeout: cfg.ChangeTimeout}), nil},
		{kmsg.Metadata.Int16(), 0, 13, h.bounded(&metadataHandler{cfg: cfg, lookup: d.Lookup, admin: h.admin, code: d.code, pool: h.changes}), h.metadataBytes},
		{kmsg.OffsetCommit.Int16(), 2, 10, h.group(), nil},
		{kmsg.OffsetFetch.Int16(), 1, 10, h.group(), h.groupBytes},
		{kmsg.FindCoordinator.Int16(), 0, 6, h.bounded(HandlerFunc(findCoordinator(d))), nil},
		{kmsg.JoinGroup.Int16(), 0, 9, h.group(), nil},
		{kmsg.Heartbeat.Int16(), 0, 4, h.group(), nil},
		{kmsg.LeaveGroup.Int16(), 0, 5, h.group(), nil},
		{kmsg.SyncGroup.Int16(), 0, 5, h.group(), nil},
		{kmsg.DescribeGroups.Int16(), 0, 6, h.group(), h.groupBytes},
		{kmsg.ListGroups.Int16(), 0, 5, h.group(), h.groupBytes},
		{kmsg.SASLHandshake.Int16(), 0, 1, HandlerFunc(saslHandshake), nil},
		{kmsg.CreateTopics.Int16(), 2, 7, h.change(createTopics(h.admin, d.code)), createdBytes},
		{kmsg.DeleteTopics.Int16(), 1, 6, h.change(deleteTopics(h.admin, d.code)), nil},
		{kmsg.DeleteRecords.Int16(), 0, 2, h.change(deleteRecords(d)), nil},
		{kmsg.InitProducerID.Int16(), 0, 5, h.change(initProducerID(h.ids, d.code)), nil},
		{kmsg.OffsetForLeaderEpoch.Int16(), 2, 4, h.bounded(HandlerFunc(offsetForLeaderEpoch(d))), nil},
		{kmsg.DescribeACLs.Int16(), 1, 3, HandlerFunc(describeACLs), nil},
		{kmsg.CreateACLs.Int16(), 1, 3, h.bounded(HandlerFunc(createACLs)), nil},
		{kmsg.DeleteACLs.Int16(), 1, 3, h.bounded(HandlerFunc(deleteACLs)), nil},
		{kmsg.DescribeConfigs.Int16(), 1, 4, h.atMost(cfg.RequestChanges, describeConfigs(cfg, d)), configsBytes},
		{kmsg.AlterConfigs.Int16(), 0, 2, h.change(alterConfigs(h.admin, d.code)), nil},
		{kmsg.DescribeLogDirs.Int16(), 1, 5, h.bounded(handlerOf(h.describeLogDirs)), h.logDirsBytes},
		{kmsg.SASLAuthenticate.Int16(), 0, 2, HandlerFunc(saslAuthenticate), nil},
		{kmsg.CreatePartitions.Int16(), 0, 3, h.change(createPartitions(h.admin, d.code)), nil},
		{kmsg.DeleteGroups.Int16(), 0, 3, h.group(), nil},
		{kmsg.ElectLeaders.Int16(), 0, 2, h.bounded(HandlerFunc(electLeaders(d))), h.electionBytes},
		{kmsg.IncrementalAlterConfigs.Int16(), 0, 1, h.change(incrementalAlterConfigs(h.admin, d.code)), nil},
		{kmsg.AlterPartitionAssignments.Int16(), 0, 1, h.bounded(HandlerFunc(alterReassignments(d))), nil},
		{kmsg.ListPartitionReassignments.Int16(), 0, 0, h.bounded(HandlerFunc(listReassignments)), nil},
		{kmsg.OffsetDelete.Int16(), 0, 0, h.group(), nil},
		{kmsg.DescribeClientQuotas.Int16(), 0, 1, h.bounded(HandlerFunc(describeQuotas)), nil},
		{kmsg.AlterClientQuotas.Int16(), 0, 1, h.atMost(cfg.RequestChanges, HandlerFunc(alterQuotas)), nil},
		{kmsg.DescribeUserSCRAMCredentials.Int16(), 0, 0, h.bounded(HandlerFunc(describeSCRAM)), nil},
		{kmsg.AlterUserSCRAMCredentials.Int16(), 0, 0, h.bounded(HandlerFunc(alterSCRAM)), nil},
		{kmsg.DescribeQuorum.Int16(), 0, 2, h.bounded(HandlerFunc(describeQuorum(d))), nil},
		{kmsg.UpdateFeatures.Int16(), 0, 2, h.bounded(HandlerFunc(updateFeatures)), nil},
		{kmsg.DescribeCluster.Int16(), 0, 2, h.bounded(HandlerFunc(describeCluster(d))), nil},
		{kmsg.DescribeProducers.Int16(), 0, 0, h.bounded(handlerOf(h.describeProducers)), h.producersBytes},
		{kmsg.UnregisterBroker.Int16(), 0, 0, HandlerFunc(unregisterBroker(d)), nil},
		{kmsg.DescribeTransactions.Int16(), 0, 0, h.atMost(cfg.RequestChanges, HandlerFunc(describeTransactions)), nil},
		{kmsg.ListTransactions.Int16(), 0, 2, h.bounded(HandlerFunc(listTransactions)), nil},
		{kmsg.ListConfigResources.Int16(), 0, 1, h.bounded(HandlerFunc(listConfigResources(d))), h.resourcesBytes},
		{kmsg.DescribeTopicPartitions.Int16(), 0, 0, h.bounded(HandlerFunc(describeTopicPartitions(d))), h.topicPartitionsBytes},
	}
}
