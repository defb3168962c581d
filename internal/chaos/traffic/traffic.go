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
	Rate        float64 // records a second for each partition
	Window      int64   // records of a partition sent and not acknowledged; while it is full none is sent
	Patience    time.Duration
}

// Client timers. A broker that is frozen or cut off answers nothing: Patience is how long an
// answer to a produce request may take, half of it for the broker to wait for its followers.
const (
	retryAfter   = 20 * time.Millisecond
	dialLimit    = time.Second
	shortestWait = 200 * time.Millisecond
)

// Options returns the options of a client of the brokers.
func (c Config) Options() []kgo.Opt {
	half := max(c.Patience/2, shortestWait)
	return []kgo.Opt{
		kgo.SeedBrokers(c.Addrs...),
		kgo.ClientID("chaos"),
		kgo.DialTimeout(dialLimit),
		kgo.RequestTimeoutOverhead(half),
		kgo.RetryBackoffFn(func(int) time.Duration { return retryAfter }),
		kgo.RequestRetries(1 << 20),
		kgo.RetryTimeout(time.Minute),
		kgo.MetadataMinAge(2 * retryAfter),
		kgo.MetadataMaxAge(time.Second),
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
	for p := range int32(ledger.Partitions()) {
		opts := append(cfg.Options(), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0),
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

// run sends by a schedule. What was due while the window was full is not made up for.
func (l *Load) run(ctx context.Context, p *producer) {
	tick := time.NewTicker(time.Duration(float64(time.Second) / l.cfg.Rate))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if p.inFlight.Load() < l.cfg.Window {
				l.send(p)
			}
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
	l.wg.Wait()
	var errs []error
	for _, p := range l.producers {
		if err := p.client.Flush(ctx); err != nil {
			errs = append(errs, fmt.Errorf("partition %d: %d records are not acknowledged: %w", p.partition, p.inFlight.Load(), err))
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
