package kafka

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.opentelemetry.io/otel/trace"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/lookup"
	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/record"
	"github.com/sluicemq/sluice/internal/topic"
)

// Errors of one partition in a Produce request.
var (
	errAcks      = refuse(kerr.InvalidRequiredAcks, "acks must be 0, 1 or -1 (all)")
	errOneBatch  = refuse(kerr.InvalidRecord, "send exactly one record batch per partition")
	errOldFormat = refuse(kerr.InvalidRecord, "only message format v2 is supported; use a client of Kafka 0.11 or newer")
	errCodec     = refuse(kerr.UnsupportedCompressionType, "this version of Produce does not support the codec; zstd needs version 7")
)

// zstdSince is the first Produce version that allows zstd (KIP-110).
const zstdSince = 7

// produceHandler serves Produce. It resolves partitions, finds the batches in the frame and
// passes all of them to the pipeline with one callback. Nothing is copied: the frame belongs to
// the pipeline until the callback. The request's timeout limits the wait for other replicas, not
// that for the local disk: a response before the batches are copied would release the frame too
// early, and producers have timeouts of their own.
type produceHandler struct {
	lookup   *lookup.Lookup
	appender Appender
	code     Coder
}

// produce is one request in progress.
type produce struct {
	*produceHandler
	req          *kmsg.ProduceRequest
	view         *meta.View
	reply        func(Response)
	resp         *kmsg.ProduceResponse
	out          []kmsg.ProduceResponseTopicPartition // of all topics, in request order
	appends      []flow.Append
	outAt        []int32 // index in out of each append
	refused      bool    // some partition has an error
	recordErrors int     // number of records named in record_errors
	span         trace.Span
}

func (h *produceHandler) Serve(ctx context.Context, r *Request, reply func(Response)) {
	req := r.Body.(*kmsg.ProduceRequest)
	p := &produce{produceHandler: h, req: req, view: h.lookup.View(), reply: reply,
		resp: req.ResponseKind().(*kmsg.ProduceResponse), span: trace.SpanFromContext(ctx)}
	p.plan()
	if len(p.appends) == 0 {
		p.finish()
		return
	}
	r.Leave()
	h.appender.Append(ctx, r.Who, p.appends, p.settled)
}

// plan adds a result for every partition, and an append for every one that can be written.
func (p *produce) plan() {
	n := 0
	for i := range p.req.Topics {
		n += len(p.req.Topics[i].Partitions)
	}
	p.out = make([]kmsg.ProduceResponseTopicPartition, n)
	p.appends, p.outAt = make([]flow.Append, 0, n), make([]int32, 0, n)
	p.resp.Topics = make([]kmsg.ProduceResponseTopic, len(p.req.Topics))
	invalid := p.invalid()
	at := 0
	for i := range p.req.Topics {
		t, out := &p.req.Topics[i], &p.resp.Topics[i]
		out.Topic, out.TopicID = t.Topic, t.TopicID
		found, err := p.topic(t)
		if invalid != nil {
			err = invalid
		}
		for j := range t.Partitions {
			p.partition(at+j, found, err, &t.Partitions[j])
		}
		end := at + len(t.Partitions)
		out.Partitions = p.out[at:end:end]
		at = end
	}
}

// invalid returns the reason to refuse all partitions of the request.
func (p *produce) invalid() error {
	switch flow.Acks(p.req.Acks) {
	case flow.AcksNone, flow.AcksLeader, flow.AcksAll:
	default:
		return errAcks
	}
	if p.req.TransactionID != nil {
		return errTransactions
	}
	return nil
}

func (p *produce) topic(t *kmsg.ProduceRequestTopic) (*meta.Topic, error) {
	if p.req.Version >= 13 {
		return lookup.ByID(p.view, t.TopicID)
	}
	return lookup.ByName(p.view, t.Topic)
}

func (p *produce) partition(at int, t *meta.Topic, err error, asked *kmsg.ProduceRequestTopicPartition) {
	out := &p.out[at]
	out.Default()
	out.Partition = asked.Partition
	out.BaseOffset, out.LogAppendTime, out.LogStartOffset = -1, -1, -1
	if err == nil {
		err = p.add(at, t, asked)
	}
	if err != nil {
		p.refuse(out, p.codeOf(err), err)
		if t != nil && out.ErrorCode == kerr.NotLeaderForPartition.Code {
			p.redirect(out, t)
		}
	}
}

func (p *produce) add(at int, t *meta.Topic, asked *kmsg.ProduceRequestTopicPartition) error {
	s, err := p.lookup.Partition(t, asked.Partition)
	if err != nil {
		return err
	}
	b, err := onlyBatch(asked.Records, p.req.Version)
	if err != nil {
		return err
	}
	p.appends = append(p.appends, flow.Append{Partition: topic.Partition{Topic: t.ID, Index: asked.Partition}, State: s,
		Batch: b, Acks: flow.Acks(p.req.Acks), Timeout: time.Duration(p.req.TimeoutMillis) * time.Millisecond, LogAppendTime: -1})
	p.outAt = append(p.outAt, int32(at))
	return nil
}

// magicAt is the offset of the magic byte, in batches and in older message sets alike.
const magicAt = 16

// onlyBatch checks that records are exactly one batch. The pipeline validates its contents.
func onlyBatch(records []byte, version int16) (record.Batch, error) {
	if len(records) > magicAt && records[magicAt] < 2 {
		return nil, errOldFormat
	}
	if len(records) == 0 {
		return nil, errOneBatch
	}
	b, rest, err := record.Next(records)
	switch {
	case err != nil:
		return nil, err
	case len(rest) > 0:
		return nil, errOneBatch
	case b.IsTransactional():
		return nil, errTransactions
	case !b.Codec().Known() || b.Codec() == record.Zstd && version < zstdSince:
		return nil, errCodec
	}
	return b, nil
}

// redirect adds the partition's current leader (KIP-951).
func (p *produce) redirect(out *kmsg.ProduceResponseTopicPartition, t *meta.Topic) {
	if p.req.Version < 10 || int(out.Partition) >= len(t.Partitions) {
		return
	}
	leader := t.Partitions[out.Partition]
	out.CurrentLeader.LeaderID, out.CurrentLeader.LeaderEpoch = leader.Leader, leader.Epoch
	for _, b := range p.resp.Brokers {
		if b.NodeID == leader.Leader {
			return
		}
	}
	for _, b := range p.view.Brokers {
		if b.ID == leader.Leader {
			p.resp.Brokers = append(p.resp.Brokers, kmsg.ProduceResponseBroker{NodeID: b.ID, Host: b.Host, Port: b.Port, Rack: rack(b)})
		}
	}
}

func (p *produce) refuse(out *kmsg.ProduceResponseTopicPartition, code int16, err error) {
	p.refused = true
	out.ErrorCode, out.ErrorMessage = code, message(err)
	if p.req.Version < recordErrorsSince {
		return
	}
	var one *record.RecordError
	var some *record.RecordErrors
	switch {
	case errors.As(err, &some):
		p.addRecordErrors(out, some.Records)
	case errors.As(err, &one):
		p.addRecordErrors(out, []record.RecordError{*one})
	}
}

// recordErrorsSince is the first version with record_errors (KIP-467).
const recordErrorsSince = 8

// addRecordErrors adds record errors, up to record.MaxRecordErrors per request.
func (p *produce) addRecordErrors(out *kmsg.ProduceResponseTopicPartition, records []record.RecordError) {
	records = records[:min(len(records), record.MaxRecordErrors-p.recordErrors)]
	p.recordErrors += len(records)
	out.ErrorRecords = make([]kmsg.ProduceResponseTopicPartitionErrorRecord, len(records))
	var last error
	var text *string
	for i := range records {
		if text == nil || records[i].Err != last { // most records share one message
			last, text = records[i].Err, message(records[i].Err)
		}
		out.ErrorRecords[i].RelativeOffset, out.ErrorRecords[i].ErrorMessage = records[i].Index, text
	}
}

// codeOf returns the error code for a produced batch. A batch damaged in transit may be
// retried; an invalid one may not.
func (p *produce) codeOf(err error) int16 {
	switch {
	case errors.Is(err, record.ErrChecksum):
		return kerr.CorruptMessage.Code
	case errors.Is(err, record.ErrCorrupt), errors.Is(err, record.ErrUnsupported):
		return kerr.InvalidRecord.Code
	}
	return p.code(err)
}

// refuseAppend reports an error after the batch has reached the log. Like Kafka it includes the
// log start offset, unless the batch itself is invalid.
func (p *produce) refuseAppend(out *kmsg.ProduceResponseTopicPartition, a *flow.Append) {
	p.refuse(out, p.codeOf(a.Err), a.Err)
	switch out.ErrorCode {
	case kerr.UnknownTopicOrPartition.Code, kerr.NotLeaderForPartition.Code, kerr.MessageTooLarge.Code,
		kerr.CorruptMessage.Code, kerr.KafkaStorageError.Code:
	default:
		out.LogStartOffset = a.State.LogStart()
	}
}

// settled is called once, when all appends have settled; failed is an error of the whole
// pipeline.
func (p *produce) settled(failed error) {
	code := p.code(failed)
	if code == kerr.UnknownServerError.Code {
		code = kerr.KafkaStorageError.Code // retriable: clients look up the leader again
	}
	for i := range p.appends {
		a, out := &p.appends[i], &p.out[p.outAt[i]]
		switch {
		case a.Err != nil:
			p.refuseAppend(out, a)
		case failed != nil:
			p.refuse(out, code, failed)
		default:
			out.BaseOffset, out.LogAppendTime, out.LogStartOffset = a.BaseOffset, a.LogAppendTime, a.State.LogStart()
		}
	}
	p.finish()
}

// finish replies. With acks=0 there is no response; like Kafka, an error closes the connection,
// since nothing else would tell the client.
func (p *produce) finish() {
	if p.span.IsRecording() {
		p.describe()
	}
	if flow.Acks(p.req.Acks) == flow.AcksNone {
		p.reply(Response{Silent: true, Close: p.refused})
		return
	}
	p.reply(Response{Message: p.resp})
}
