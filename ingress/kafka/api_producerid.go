package kafka

import (
	"context"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// errTransactions refuses requests that need a transaction coordinator. Clients treat this code
// as fatal.
var errTransactions = refuse(kerr.UnsupportedVersion, "transactions are not supported yet; remove transactional.id")

// producerIDs allocates ids from blocks reserved in the metadata quorum.
type producerIDs struct {
	source ProducerIDs
	block  int32

	turn      chan struct{} // a mutex that a context can interrupt; guards the block
	next, end int64
}

func newProducerIDs(source ProducerIDs, block int32) *producerIDs {
	return &producerIDs{source: source, block: block, turn: make(chan struct{}, 1)}
}

func (p *producerIDs) take(ctx context.Context) (int64, error) {
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	if p.next == p.end {
		first, err := p.source.AllocateProducerIDs(ctx, p.block)
		if err != nil {
			return 0, err
		}
		p.next, p.end = first, first+int64(p.block)
	}
	id := p.next
	p.next++
	return id, nil
}

// initProducerID serves InitProducerId for idempotent producers. Every call returns a new id
// with epoch 0, even if the request has the old id and epoch: without a transactional id a new
// id fences nothing and loses nothing, and Kafka does the same (KIP-360).
func initProducerID(ids *producerIDs, code Coder) changeFunc {
	return func(ctx context.Context, r *Request) kmsg.Response {
		req := r.Body.(*kmsg.InitProducerIDRequest)
		resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
		resp.ProducerID, resp.ProducerEpoch = -1, -1
		id, err := int64(-1), validateInit(req)
		if err == nil {
			id, err = ids.take(ctx)
		}
		if err != nil {
			resp.ErrorCode = retriableInit(code(err))
			return resp
		}
		resp.ProducerID, resp.ProducerEpoch = id, 0
		return resp
	}
}

func validateInit(req *kmsg.InitProducerIDRequest) error {
	switch {
	case req.TransactionalID != nil && *req.TransactionalID == "":
		return refuse(kerr.InvalidRequest, "a transactional id must not be empty")
	case req.TransactionalID != nil:
		return errTransactions
	case (req.ProducerID == -1) != (req.ProducerEpoch == -1):
		return refuse(kerr.InvalidRequest, "give both the producer id and its epoch, or neither")
	}
	return nil
}

// retriableInit maps a quorum timeout to a code that producers retry for this request.
func retriableInit(code int16) int16 {
	if code == kerr.RequestTimedOut.Code {
		return kerr.CoordinatorNotAvailable.Code
	}
	return code
}
