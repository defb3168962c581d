package kafka

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
	sluice "github.com/sluicemq/sluice/sdk/go"
)

// Config says how to reach the server.
type Config struct {
	Addr      string // or several, with commas
	Transport string // quic, tls or tcp
	CAFile    string
	Replicas  int // of each partition, 1 if 0; with more than one, min.insync.replicas is a majority
}

// Driver is a load.Driver.
type Driver struct {
	cfg    Config
	w      workloads.Workload
	opts   []kgo.Opt // connection options
	topic  string
	admin  *kgo.Client
	dialer *sluice.Dialer

	requests, requestBytes atomic.Int64 // produce requests, as written
}

// New returns a driver that has not connected yet.
func New(cfg Config) *Driver { return &Driver{cfg: cfg} }

const topicTimeout = 60 * time.Second

// Prepare creates a topic with a new name.
func (d *Driver) Prepare(ctx context.Context, w workloads.Workload) error {
	d.w, d.topic = w, "bench-"+strconv.FormatInt(time.Now().UnixNano(), 36)
	var err error
	addrs := strings.Split(d.cfg.Addr, ",")
	d.dialer, err = sluice.NewDialer(sluice.Config{Brokers: addrs, Transport: sluice.Transport(d.cfg.Transport),
		CAFile: d.cfg.CAFile, Connections: w.Connections})
	if err != nil {
		return err
	}
	d.opts = []kgo.Opt{kgo.SeedBrokers(addrs...), kgo.Dialer(d.dialer.DialContext), kgo.ClientID("slbench")}
	if d.admin, err = kgo.NewClient(d.opts...); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, topicTimeout)
	defer cancel()
	replicas, configs := max(1, d.cfg.Replicas), map[string]*string(nil)
	if replicas > 1 {
		configs = map[string]*string{"min.insync.replicas": kadm.StringPtr(strconv.Itoa(replicas/2 + 1))}
	}
	r, err := kadm.NewClient(d.admin).CreateTopic(ctx, int32(w.Partitions), int16(replicas), configs, d.topic)
	if err = errors.Join(err, r.Err); err != nil {
		return fmt.Errorf("create topic %s: %w", d.topic, err)
	}
	return nil
}

// Close deletes the topic.
func (d *Driver) Close(ctx context.Context) error {
	if d.dialer == nil {
		return nil
	}
	var err error
	if d.admin != nil {
		ctx, cancel := context.WithTimeout(ctx, topicTimeout)
		defer cancel()
		_, err = kadm.NewClient(d.admin).DeleteTopic(ctx, d.topic)
		d.admin.Close()
	}
	return errors.Join(err, d.dialer.Close())
}

// Requests counts the produce requests of a run, as written to connections.
type Requests struct{ Count, Bytes int64 }

// Mean returns the mean size, 0 if there were none.
func (r Requests) Mean() int { return int(r.Bytes / max(1, r.Count)) }

// Requests returns the requests sent so far.
func (d *Driver) Requests() Requests { return Requests{d.requests.Load(), d.requestBytes.Load()} }

// OnBrokerWrite is called by kgo.
func (d *Driver) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, n int, _, _ time.Duration, err error) {
	const produce = 0
	if key == produce && err == nil {
		d.requests.Add(1)
		d.requestBytes.Add(int64(n))
	}
}

var codecs = map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}

// NewProducer returns a client of its own.
func (d *Driver) NewProducer(_ context.Context, acked func([]byte, error)) (load.Producer, error) {
	opts := append([]kgo.Opt{
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.MaxBufferedRecords(d.w.InFlight),
		kgo.ProducerBatchMaxBytes(int32(d.w.BatchBytes)),
		kgo.ProducerLinger(d.w.Linger()),
		kgo.ProducerBatchCompression(codecs[d.w.Compression]),
		kgo.WithHooks(d),
	}, d.opts...)
	switch d.w.Acks {
	case "leader":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "none":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	c, err := kgo.NewClient(opts...)
	if err != nil {
		return nil, err
	}
	return &producer{client: c, topic: d.topic, done: func(r *kgo.Record, err error) { acked(r.Value, err) }}, nil
}

type producer struct {
	client *kgo.Client
	topic  string
	done   func(*kgo.Record, error)
	slab   []kgo.Record
}

const slabRecords = 128

func (p *producer) Send(ctx context.Context, partition int32, value []byte) error {
	if len(p.slab) == 0 {
		p.slab = make([]kgo.Record, slabRecords)
	}
	r := &p.slab[0]
	p.slab = p.slab[1:]
	r.Topic, r.Partition, r.Value = p.topic, partition, value
	p.client.Produce(ctx, r, p.done)
	return nil
}

func (p *producer) Flush(ctx context.Context) error { return p.client.Flush(ctx) }
func (p *producer) Close()                          { p.client.Close() }
