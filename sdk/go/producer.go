package sluice

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer sends records. Like Kafka's own clients, it picks the partition by the hash of the
// key; records without a key go to one partition per batch.
type Producer struct {
	cl     *kgo.Client
	dialer *Dialer

	mu       sync.Mutex
	closed   bool
	hopeless error          // why all records fail
	giving   sync.WaitGroup // goroutines failing records

	sent, acked, failed, bytes atomic.Int64
}

// NewProducer returns a producer. It does not contact a broker yet; see Ping.
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

// refused fails all records when a broker is unusable and always was. A producer that has
// connected before continues: certificates may be about to be replaced.
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

// explained adds the cause to a record's error, if kgo does not know it.
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

// Produce sends a record and returns at once, unless the limit of unacknowledged records is
// reached. done, if not nil, is called once with the record, with Partition and Offset set, or
// with an error; it must not block. Records of a partition are delivered in the order of the
// calls. r belongs to the producer until then. If ctx ends before the record was sent, the
// record fails. It also fails if no broker could be reached yet and a retry does not help
// (ErrUntrusted, ErrCertificateRefused, ErrNotSluice).
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

// Delivery is the pending result of one record.
type Delivery struct {
	done   chan struct{}
	record *Record
	err    error
}

// Done returns a channel that is closed when the result is known.
func (d *Delivery) Done() <-chan struct{} { return d.done }

// Wait waits for the result or for ctx; in the latter case the record may still be delivered.
func (d *Delivery) Wait(ctx context.Context) (*Record, error) {
	select {
	case <-d.done:
		return d.record, d.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Send is like Produce, but returns a Delivery to wait on.
func (p *Producer) Send(ctx context.Context, r *Record) *Delivery {
	d := &Delivery{done: make(chan struct{})}
	p.Produce(ctx, r, func(r *Record, err error) {
		d.record, d.err = r, err
		close(d.done)
	})
	return d
}

// ProduceSync sends records and waits for all of them. The error joins those of all failed
// records.
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

// Flush sends what is buffered and returns when the results of all records are known.
func (p *Producer) Flush(ctx context.Context) error { return p.cl.Flush(ctx) }

// Ping checks that a broker responds.
func (p *Producer) Ping(ctx context.Context) error { return p.cl.Ping(ctx) }

// Close flushes until ctx ends, fails the remaining records with ErrClosed, and closes the
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

// Client returns the underlying franz-go client, for what this API does not offer.
func (p *Producer) Client() *kgo.Client { return p.cl }

// ProducerStats are totals since the producer was created; Buffered is the current value.
type ProducerStats struct {
	Sent, Acked, Failed int64 // records
	AckedBytes          int64 // of keys and values
	Buffered            int64 // records without a result yet
	Dialer              DialerStats
}

// Stats returns the producer's statistics.
func (p *Producer) Stats() ProducerStats {
	return ProducerStats{Sent: p.sent.Load(), Acked: p.acked.Load(), Failed: p.failed.Load(), AckedBytes: p.bytes.Load(),
		Buffered: p.cl.BufferedProduceRecords(), Dialer: p.dialer.Stats()}
}
