package sluice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer sends records. Records with a key go to the partition of the key's
// hash, as in Kafka's own clients; others to one partition for a batch at a time.
type Producer struct {
	cl     *kgo.Client
	dialer *Dialer

	mu       sync.Mutex
	closed   bool
	hopeless error          // why records are given up
	giving   sync.WaitGroup // up

	sent, acked, failed, bytes atomic.Int64
}

// NewProducer returns a producer. No broker is contacted yet; see Ping.
func NewProducer(cfg Config, p ProducerConfig) (*Producer, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	d, err := NewDialer(cfg)
	if err != nil {
		return nil, err
	}
	cl, err := kgo.NewClient(append(p.opts(), d.clientOpts()...)...)
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	producer := &Producer{cl: cl, dialer: d}
	d.refusals.listen(producer.refused)
	return producer, nil
}

// refused gives up all records when a broker cannot be used that never could. A
// producer that has got anywhere goes on: certificates may be about to be replaced.
func (p *Producer) refused(r refusal) {
	if r.reached || p.acked.Load() > 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.hopeless = r.err
	p.giving.Go(p.cl.UnsafeAbortBufferedRecords) // nothing was sent yet
}

// explained is the error of a record with the cause, where kgo has none.
func (p *Producer) explained(err error) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if errors.Is(err, kgo.ErrAborting) && p.hopeless != nil && p.acked.Load() == 0 {
		return p.hopeless
	}
	if why := p.dialer.refusals.any(); why != nil && errors.Is(err, kgo.ErrRecordTimeout) {
		return fmt.Errorf("%w: %w", err, why)
	}
	return err
}

// Produce sends a record and returns at once, unless as much is waiting for
// acknowledgement as may. done, if not nil, is called once with the record, whose
// Partition and Offset are set then, or the error; it must not block. Records of a
// partition are delivered in the order of the calls. r belongs to the producer
// until then. When ctx ends before the record was sent, the record fails. So it does
// when no broker could be reached yet and trying again does not help (ErrUntrusted,
// ErrCertificateRefused, ErrNotSluice).
func (p *Producer) Produce(ctx context.Context, r *Record, done func(*Record, error)) {
	p.sent.Add(1)
	p.cl.Produce(ctx, r, func(r *Record, err error) {
		if err != nil {
			err = p.explained(err)
		}
		p.count(r, err)
		if done != nil {
			done(r, err)
		}
	})
}

func (p *Producer) count(r *Record, err error) {
	if err != nil {
		p.failed.Add(1)
		return
	}
	p.acked.Add(1)
	p.bytes.Add(int64(len(r.Key) + len(r.Value)))
}

// Delivery is the fate of one record.
type Delivery struct {
	done   chan struct{}
	record *Record
	err    error
}

// Done is closed once the fate is known.
func (d *Delivery) Done() <-chan struct{} { return d.done }

// Wait waits for it, or for ctx: the record may still be delivered then.
func (d *Delivery) Wait(ctx context.Context) (*Record, error) {
	select {
	case <-d.done:
		return d.record, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Send is Produce with a Delivery to wait on.
func (p *Producer) Send(ctx context.Context, r *Record) *Delivery {
	d := &Delivery{done: make(chan struct{})}
	p.Produce(ctx, r, func(r *Record, err error) {
		d.record, d.err = r, err
		close(d.done)
	})
	return d
}

// ProduceSync sends records and waits for all of them. The error joins those of
// all that failed.
func (p *Producer) ProduceSync(ctx context.Context, rs ...*Record) error {
	sent := make([]*Delivery, len(rs))
	for i, r := range rs {
		sent[i] = p.Send(ctx, r)
	}
	var errs []error
	for _, d := range sent {
		<-d.done // ctx ends the records themselves
		if d.err != nil {
			errs = append(errs, d.err)
		}
	}
	return errors.Join(errs...)
}

// Flush sends what is waiting and returns when the fate of all records is known.
func (p *Producer) Flush(ctx context.Context) error { return p.cl.Flush(ctx) }

// Ping asks a broker for an answer.
func (p *Producer) Ping(ctx context.Context) error { return p.cl.Ping(ctx) }

// Close flushes until ctx ends, fails what is left with ErrClosed, and ends the
// connections. The error is that of the flush.
func (p *Producer) Close(ctx context.Context) error {
	err := p.cl.Flush(ctx)
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.giving.Wait()
	p.cl.Close()
	return errors.Join(err, p.dialer.Close())
}

// Client returns the franz-go client inside, for what is not offered here.
func (p *Producer) Client() *kgo.Client { return p.cl }

// ProducerStats are counts since the producer was made; Buffered is as of now.
type ProducerStats struct {
	Sent, Acked, Failed int64 // records
	AckedBytes          int64 // of keys and values
	Buffered            int64 // records waiting for their fate
	Dialer              DialerStats
}

// Stats returns what the producer has counted.
func (p *Producer) Stats() ProducerStats {
	return ProducerStats{Sent: p.sent.Load(), Acked: p.acked.Load(), Failed: p.failed.Load(), AckedBytes: p.bytes.Load(),
		Buffered: p.cl.BufferedProduceRecords(), Dialer: p.dialer.Stats()}
}
