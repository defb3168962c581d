package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/workloads"
)

// Driver is a load.Driver.
type Driver struct {
	url      string
	w        workloads.Workload
	name     string   // streams are named this plus a number
	subjects []string // by partition
	conn     *nats.Conn
	js       jetstream.JetStream
	streams  []jetstream.Stream
}

// New returns a driver for the server at a NATS URL or HOST:PORT.
func New(url string) *Driver { return &Driver{url: url} }

func (d *Driver) connect() (*nats.Conn, error) {
	return nats.Connect(d.url, nats.Name("slbench"), nats.Timeout(10*time.Second))
}

// Prepare creates streams with a new name, and distributes the partitions over them.
func (d *Driver) Prepare(ctx context.Context, w workloads.Workload) error {
	d.w, d.name = w, "bench-"+strconv.FormatInt(time.Now().UnixNano(), 36)
	d.subjects = make([]string, w.Partitions)
	for p := range d.subjects {
		d.subjects[p] = fmt.Sprintf("%s.%d.%d", d.stream(p%w.Streams), p%w.Consumers, p)
	}
	var err error
	if d.conn, err = d.connect(); err != nil {
		return err
	}
	if d.js, err = jetstream.New(d.conn); err != nil {
		return err
	}
	for i := range w.Streams {
		s, err := d.js.CreateStream(ctx, jetstream.StreamConfig{Name: d.stream(i), Subjects: []string{d.stream(i) + ".>"},
			Storage: jetstream.FileStorage, Replicas: 1})
		if err != nil {
			return err
		}
		d.streams = append(d.streams, s)
	}
	return nil
}

func (d *Driver) stream(i int) string { return d.name + "-" + strconv.Itoa(i) }

// Close deletes the streams.
func (d *Driver) Close(ctx context.Context) error {
	if d.conn == nil {
		return nil
	}
	defer d.conn.Close()
	var err error
	for i := range d.streams {
		err = errors.Join(err, d.js.DeleteStream(ctx, d.stream(i)))
	}
	return err
}

// NewProducer returns a producer with a connection of its own.
func (d *Driver) NewProducer(_ context.Context, acked func([]byte, error)) (load.Producer, error) {
	c, err := d.connect()
	if err != nil {
		return nil, err
	}
	js, err := jetstream.New(c,
		jetstream.WithPublishAsyncMaxPending(d.w.InFlight),
		jetstream.WithPublishAsyncAckHandler(func(_ jetstream.JetStream, m *nats.Msg, _ *jetstream.PubAck) { acked(m.Data, nil) }),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, m *nats.Msg, err error) { acked(m.Data, err) }))
	if err != nil {
		c.Close()
		return nil, err
	}
	return &producer{conn: c, js: js, subjects: d.subjects}, nil
}

type producer struct {
	conn     *nats.Conn
	js       jetstream.JetStream
	subjects []string
}

func (p *producer) Send(ctx context.Context, partition int32, value []byte) error {
	for {
		_, err := p.js.PublishAsync(p.subjects[partition], value)
		// The window may stay full for longer than the client waits by itself.
		if !errors.Is(err, jetstream.ErrTooManyStalledMsgs) || ctx.Err() != nil {
			return err
		}
	}
}

func (p *producer) Flush(ctx context.Context) error {
	select {
	case <-p.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *producer) Close() { p.conn.Close() }
