package traffic

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/internal/chaos/check"
)

// Config of a load.
type Config struct {
	Addrs       []string // of all brokers
	Topic       string
	RecordBytes int
	Rate        float64       // records a second for each partition
	Window      int64         // most records of a partition in one request
	Patience    time.Duration // how long a request to produce may take
	Gate        *Gate         // that clients dial through
}

// Timers of clients. A broker that is frozen or cut off answers nothing. Half of Patience is for
// the broker to wait for its followers.
const (
	retryAfter   = 20 * time.Millisecond
	metadataAge  = 250 * time.Millisecond // a client that gets no answer does not ask for new metadata
	shortestWait = 200 * time.Millisecond
	shortestTick = time.Millisecond
)

// Options returns the options of a client of the brokers.
func (c Config) Options() []kgo.Opt {
	half := max(c.Patience/2, shortestWait)
	gate := c.Gate
	if gate == nil {
		gate = NewGate()
	}
	return []kgo.Opt{
		kgo.Dialer(gate.Dial),
		kgo.SeedBrokers(c.Addrs...),
		kgo.ClientID("chaos"),
		kgo.RequestTimeoutOverhead(half),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryAfter }),
		kgo.RequestRetries(1 << 20),
		kgo.RetryTimeout(time.Minute),
		kgo.MetadataMinAge(2 * retryAfter),
		kgo.MetadataMaxAge(metadataAge),
	}
}

// Load is a load that runs.
type Load struct {
	cfg       Config
	ledger    *check.Ledger
	outages   *check.Outages
	producers []*producer
	reader    *reader
	stop      context.CancelFunc
	finish    context.Context // of the records in flight
	giveUp    context.CancelFunc
	wg        sync.WaitGroup

	mu     sync.Mutex
	failed int64
	first  error
}

type producer struct {
	partition int32
	client    *kgo.Client
	inFlight  atomic.Int64
}

// Start starts producers and a reader of all partitions of the ledger.
func Start(cfg Config, ledger *check.Ledger, outages *check.Outages) (*Load, error) {
	if cfg.RecordBytes < check.MinValueBytes || cfg.Rate <= 0 || cfg.Window < 1 {
		return nil, fmt.Errorf("a load needs a rate, a window, and records of %d bytes or more", check.MinValueBytes)
	}
	ctx, stop := context.WithCancel(context.Background())
	l := &Load{cfg: cfg, ledger: ledger, outages: outages, stop: stop}
	l.finish, l.giveUp = context.WithCancel(context.Background())
	for p := range int32(ledger.Partitions()) {
		opts := append(cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ManualFlushing(),
			kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProduceRequestTimeout(max(cfg.Patience/2, shortestWait)))
		client, err := kgo.NewClient(opts...)
		if err != nil {
			stop()
			return nil, errors.Join(err, l.close())
		}
		l.producers = append(l.producers, &producer{partition: p, client: client})
	}
	var err error
	if l.reader, err = startReader(cfg, ledger); err != nil {
		stop()
		return nil, errors.Join(err, l.close())
	}
	for _, p := range l.producers {
		l.wg.Go(func() { l.run(ctx, p) })
	}
	return l, nil
}

// run sends what is due, in one request, waits until it is acknowledged, and so on.
//
// One request at a time: franz-go has up to five in flight. When their broker is silent, each gives
// up on a connection of its own, one after the other, before any record goes to the new leader
// (v1.22.2). That took 12 s.
func (l *Load) run(ctx context.Context, p *producer) {
	interval := time.Duration(float64(time.Second) / l.cfg.Rate)
	tick := time.NewTicker(max(interval, shortestTick))
	defer tick.Stop()
	next := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for n := int64(0); !next.After(time.Now()); n++ {
			if n < l.cfg.Window { // the rest of what was due during an outage is left out
				l.send(p)
			}
			next = next.Add(interval)
		}
		if p.client.Flush(l.finish) != nil {
			return // the load has ended, and no outcome came in time
		}
	}
}

func (l *Load) send(p *producer) {
	id := l.ledger.Next(p.partition)
	p.inFlight.Add(1)
	r := &kgo.Record{Topic: l.cfg.Topic, Partition: p.partition, Value: check.Value(id, l.cfg.RecordBytes)}
	// Not the context of the load: a record in flight at its end is awaited.
	p.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		p.inFlight.Add(-1)
		if err != nil {
			l.fail(err)
			return
		}
		l.ledger.Acked(id, r.Offset)
		l.outages.Acked(p.partition)
	})
}

func (l *Load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if l.first == nil {
		l.first = err
	}
}

// Failed returns how many records clients gave up on, and why the first.
func (l *Load) Failed() (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed, l.first
}

// Stop ends the load and waits until everything sent is acknowledged or has failed, or the
// context ends: what is pending then is an attempt without an outcome.
func (l *Load) Stop(ctx context.Context) error {
	l.stop()
	release := context.AfterFunc(ctx, l.giveUp)
	l.wg.Wait()
	release()
	l.giveUp()
	var errs []error
	for _, p := range l.producers {
		if n := p.inFlight.Load(); n > 0 {
			errs = append(errs, fmt.Errorf("partition %d: %d records were not acknowledged in time", p.partition, n))
		}
	}
	return errors.Join(append(errs, l.close())...)
}

func (l *Load) close() error {
	for _, p := range l.producers {
		p.client.Close()
	}
	if l.reader == nil {
		return nil
	}
	return l.reader.close()
}
