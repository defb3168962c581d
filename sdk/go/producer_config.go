package sluice

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Acks says when a record counts as delivered.
type Acks string

const (
	// AcksAll waits until the record is durable on all in-sync replicas.
	AcksAll Acks = "all"
	// AcksLeader waits for the leader only.
	AcksLeader Acks = "leader"
	// AcksNone does not wait: records can be lost unnoticed.
	AcksNone Acks = "none"
)

// Compression is the codec of record batches.
type Compression string

// The codecs; all brokers and clients support all of them.
const (
	NoCompression Compression = "none"
	Gzip          Compression = "gzip"
	Snappy        Compression = "snappy"
	LZ4           Compression = "lz4"
	Zstd          Compression = "zstd"
)

// ProducerConfig says how records are sent.
type ProducerConfig struct {
	// Topic is the topic of records that name none.
	Topic string
	Acks  Acks
	// Idempotent makes a record that is resent, after an error or a change of leader, appear
	// once and in order. It needs AcksAll.
	Idempotent  bool
	Compression Compression

	// Linger is how long a record waits for others to share its batch. With 0 a batch is sent
	// as soon as the previous one of its partition has been sent.
	Linger time.Duration
	// BatchBytes limits a batch; topics have a limit as well (max.message.bytes).
	BatchBytes int
	// BufferedRecords and BufferedBytes (0: no limit) limit what may wait for acknowledgement;
	// beyond that Produce blocks.
	BufferedRecords, BufferedBytes int
	// InFlight is the number of concurrent requests to a broker. With Idempotent it is always
	// 5; without, more than 1 may reorder records after an error.
	InFlight int
	// DeliveryTimeout is how long a record is retried; 0 means forever. It does not interrupt a
	// request in flight.
	DeliveryTimeout time.Duration
}

// DefaultProducerConfig returns the safe choice: no losses, no duplicates.
func DefaultProducerConfig() ProducerConfig {
	return ProducerConfig{Acks: AcksAll, Idempotent: true, Compression: NoCompression, Linger: 5 * time.Millisecond,
		BatchBytes: 1_000_000, BufferedRecords: 100_000, BufferedBytes: 64 << 20, InFlight: 5, DeliveryTimeout: 2 * time.Minute}
}

// Validate reports a setting that cannot work.
func (c ProducerConfig) Validate() error {
	if _, ok := acks[c.Acks]; !ok {
		return fmt.Errorf("acks %q is not known; use all, leader or none", c.Acks)
	}
	if _, ok := codecs[c.Compression]; !ok {
		return fmt.Errorf("compression %q is not known; use none, gzip, snappy, lz4 or zstd", c.Compression)
	}
	switch {
	case c.Idempotent && c.Acks != AcksAll:
		return errors.New("an idempotent producer needs acks of all; set AcksAll, or Idempotent to false")
	case c.InFlight < 1 || c.Idempotent && c.InFlight != 5:
		return errors.New("at least 1 request in flight is needed, and exactly 5 with Idempotent")
	case c.BatchBytes < 1<<10 || c.BatchBytes > 100<<20:
		return errors.New("batch bytes must be from 1 KiB to 100 MiB")
	case c.BufferedRecords < 1 || c.BufferedBytes < 0:
		return errors.New("at least one record must be allowed to wait, and bytes must not be negative")
	case c.Linger < 0 || c.DeliveryTimeout < 0:
		return errors.New("linger and delivery timeout must not be negative")
	}
	return nil
}

var acks = map[Acks]kgo.Acks{AcksAll: kgo.AllISRAcks(), AcksLeader: kgo.LeaderAck(), AcksNone: kgo.NoAck()}

var codecs = map[Compression]kgo.CompressionCodec{NoCompression: kgo.NoCompression(), Gzip: kgo.GzipCompression(),
	Snappy: kgo.SnappyCompression(), LZ4: kgo.Lz4Compression(), Zstd: kgo.ZstdCompression()}

func (c ProducerConfig) opts() []kgo.Opt {
	o := []kgo.Opt{kgo.RequiredAcks(acks[c.Acks]), kgo.ProducerBatchCompression(codecs[c.Compression]),
		kgo.ProducerLinger(c.Linger), kgo.ProducerBatchMaxBytes(int32(c.BatchBytes)), kgo.MaxBufferedRecords(c.BufferedRecords),
		kgo.RecordDeliveryTimeout(c.DeliveryTimeout)}
	if !c.Idempotent {
		o = append(o, kgo.DisableIdempotentWrite(), kgo.MaxProduceRequestsInflightPerBroker(c.InFlight))
	}
	if c.BufferedBytes > 0 {
		o = append(o, kgo.MaxBufferedBytes(c.BufferedBytes))
	}
	if c.Topic != "" {
		o = append(o, kgo.DefaultProduceTopic(c.Topic))
	}
	return o
}
