package echo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/quic-go/quic-go"

	"github.com/sluicemq/sluice/bench/load"
	"github.com/sluicemq/sluice/bench/process"
	"github.com/sluicemq/sluice/internal/certs"
	"github.com/sluicemq/sluice/internal/quicnet"
)

// Config says what to send where.
type Config struct {
	Addr, CAFile string
	Mode         Mode
	FrameBytes   int // without the length prefix
	Streams      int // per connection
	Window       int // frames in flight per stream
	Warmup       time.Duration
	Duration     time.Duration
	// RecordBytes is the size of the records that a frame represents, and Share the fraction of
	// a frame that is record values, for the figures of the outcome.
	RecordBytes int
	Share       float64
}

// stampBytes is the length prefix and the send time of a frame.
const stampBytes = 4 + 8

func (c Config) validate() error {
	if c.FrameBytes < stampBytes || c.FrameBytes > maxFrame || c.Streams < 1 || c.Streams > maxStreams || c.Window < 1 {
		return fmt.Errorf("echo: %d bytes a frame on %d streams, %d in flight, cannot be", c.FrameBytes, c.Streams, c.Window)
	}
	return nil
}

// Run runs the measurement. server may be nil.
func Run(ctx context.Context, cfg Config, server load.Server) (load.Outcome, error) {
	if err := cfg.validate(); err != nil {
		return load.Outcome{}, err
	}
	conn, hangUp, err := dial(ctx, cfg)
	if err != nil {
		return load.Outcome{}, err
	}
	defer hangUp()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &client{cfg: cfg, base: time.Now()}
	errs := make(chan error, 2*cfg.Streams)
	var wg sync.WaitGroup
	for range cfg.Streams {
		s, err := conn.OpenStreamSync(ctx)
		if err != nil {
			return load.Outcome{}, err
		}
		c.exchange(ctx, s, &wg, errs)
	}
	o, err := c.measure(ctx, server, errs)
	cancel()
	wg.Wait()
	o.Produce = load.Summarize(c.latencies)
	return o, err
}

func dial(ctx context.Context, cfg Config) (*quic.Conn, func(), error) {
	t, err := certs.ClientConfig(cfg.CAFile, "", "")
	if err != nil {
		return nil, nil, err
	}
	t.ServerName = "localhost"
	to, err := net.ResolveUDPAddr("udp", cfg.Addr)
	if err != nil {
		return nil, nil, err
	}
	socket, err := quicnet.ClientConfig().Socket(to)
	if err != nil {
		return nil, nil, err
	}
	tr := &quic.Transport{Conn: socket}
	release := func() { _ = tr.Close(); _ = socket.Close() }
	conn, err := tr.Dial(ctx, to, quicnet.TLS(t), quicnet.ClientConfig().Client())
	if err != nil {
		release()
		return nil, nil, err
	}
	return conn, func() { _ = conn.CloseWithError(0, ""); release() }, nil
}

type client struct {
	cfg       Config
	base      time.Time
	frames    atomic.Int64
	from      atomic.Int64 // frames sent from then on count; 0: none yet
	latencies []*hdrhistogram.Histogram
}

// exchange sends frames on a stream and reads the responses until ctx ends.
func (c *client) exchange(ctx context.Context, s *quic.Stream, wg *sync.WaitGroup, errs chan<- error) {
	h := load.NewHistogram()
	c.latencies = append(c.latencies, h)
	sent := make(chan int64, c.cfg.Window)
	context.AfterFunc(ctx, func() { s.CancelWrite(0); s.CancelRead(0) })
	wg.Go(func() {
		defer close(sent)
		if err := c.send(ctx, s, sent); err != nil && ctx.Err() == nil {
			errs <- err
		}
	})
	wg.Go(func() {
		if err := c.receive(s, sent, h); err != nil && ctx.Err() == nil {
			errs <- err
		}
		for range sent { // lets the sender end
		}
	})
}

func (c *client) send(ctx context.Context, s *quic.Stream, sent chan<- int64) error {
	if _, err := s.Write([]byte{byte(c.cfg.Mode)}); err != nil {
		return err
	}
	frame := make([]byte, 4+c.cfg.FrameBytes)
	_, _ = rand.NewChaCha8([32]byte{'e'}).Read(frame) // never fails
	binary.BigEndian.PutUint32(frame, uint32(c.cfg.FrameBytes))
	for ctx.Err() == nil {
		sent <- int64(time.Since(c.base))
		if _, err := s.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) receive(s io.Reader, sent <-chan int64, h *hdrhistogram.Histogram) error {
	var frame []byte
	for {
		var err error
		if frame, err = readFrame(s, frame); err != nil {
			return err
		}
		if want := c.cfg.FrameBytes; c.cfg.Mode == Full && len(frame) != 4+want {
			return fmt.Errorf("echo: %d bytes came back of %d", len(frame)-4, want)
		}
		at, open := <-sent
		if !open {
			return nil
		}
		c.frames.Add(1)
		if from := c.from.Load(); from != 0 && at >= from {
			_ = h.RecordValue(int64(time.Since(c.base)) - at) // only fails above minutes, longer than any run
		}
	}
}

// measure waits for the warm-up and the measured time.
func (c *client) measure(ctx context.Context, server load.Server, errs <-chan error) (load.Outcome, error) {
	var o load.Outcome
	if err := pause(ctx, c.cfg.Warmup, errs); err != nil {
		return o, err
	}
	begin, err := c.mark(server)
	if err != nil {
		return o, err
	}
	c.from.Store(int64(time.Since(c.base)))
	if err := pause(ctx, c.cfg.Duration, errs); err != nil {
		return o, err
	}
	end, err := c.mark(server)
	if err != nil {
		return o, err
	}
	o.Seconds = end.at.Sub(begin.at).Seconds()
	bytes := float64(end.frames-begin.frames) * float64(c.cfg.FrameBytes) * c.cfg.Share
	o.Acked = int64(bytes) / int64(c.cfg.RecordBytes)
	o.TotalAcked = o.Acked
	o.MBPerS, o.RecordsPerS = bytes/o.Seconds/1e6, float64(o.Acked)/o.Seconds
	o.ServerCPU = end.cpu - begin.cpu
	o.ServerCores = o.ServerCPU / o.Seconds
	if bytes > 0 {
		o.ServerCPUPerGB = o.ServerCPU / (bytes / 1e9)
		o.ClientCPUPerGB = (end.own - begin.own) / (bytes / 1e9)
	}
	if server != nil {
		o.PeakRSS, err = server.PeakRSS()
	}
	return o, err
}

type mark struct {
	at     time.Time
	frames int64
	cpu    float64
	own    float64
}

func (c *client) mark(server load.Server) (mark, error) {
	m := mark{at: time.Now(), frames: c.frames.Load(), own: process.OwnCPU()}
	var err error
	if server != nil {
		m.cpu, err = server.CPU()
	}
	return m, err
}

func pause(ctx context.Context, d time.Duration, errs <-chan error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-errs:
		return errors.Join(errors.New("echo: the connection broke"), err)
	case <-ctx.Done():
		return ctx.Err()
	}
}
