package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// production is one run of produce.
type production struct {
	topic       string
	file        string
	separator   string
	headers     []string
	compression string
	acks        string
	partition   int32
	rate        float64
	nul         bool

	header []kgo.RecordHeader // of every record
}

func newProduce(c *cli) *cobra.Command {
	p := &production{}
	cmd := &cobra.Command{
		Use: "produce TOPIC", Short: "Produce records from lines of a file or standard input", Args: cobra.ExactArgs(1),
		Long: `Produces one record for each line, and reports how many were acknowledged and how
fast. It ends with exit code 1 at the first record that is refused.`,
		Example: `  echo "42:1 apple" | sluice produce orders --key-separator :
  sluice produce orders --file orders.txt --compression zstd --header source=import`,
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.topic = args[0]
			return c.produce(cmd.Context(), p)
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.file, "file", "-", "`FILE` to read; - is standard input")
	f.StringVar(&p.separator, "key-separator", "", "`TEXT` between key and value; without it records have no key")
	f.StringArrayVar(&p.headers, "header", nil, "`KEY=VALUE` header of every record; may be repeated")
	f.StringVar(&p.compression, "compression", "none", "none, gzip, snappy, lz4 or zstd")
	f.StringVar(&p.acks, "acks", "all", "all (in-sync replicas), leader or none")
	f.Int32Var(&p.partition, "partition", -1, "`N`, the partition of all records; by default that of the key")
	f.Float64Var(&p.rate, "rate", 0, "`N` records a second at most; 0 means no limit")
	f.BoolVarP(&p.nul, "null", "0", false, "records end with a zero byte instead of a line feed")
	_ = cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"none", "gzip", "snappy", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp)) // the flag exists
	_ = cmd.RegisterFlagCompletionFunc("acks", cobra.FixedCompletions([]string{"all", "leader", "none"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// options checks the flags and returns what they mean to a client.
func (p *production) options() ([]kgo.Opt, error) {
	opts := []kgo.Opt{kgo.DefaultProduceTopic(p.topic), kgo.AllowAutoTopicCreation(), kgo.ProducerLinger(5 * time.Millisecond),
		kgo.ProducerBatchMaxBytes(1 << 20), kgo.UnknownTopicRetries(4), kgo.MetadataMinAge(100 * time.Millisecond)}
	codecs := map[string]kgo.CompressionCodec{"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression()}
	codec, ok := codecs[p.compression]
	if !ok {
		return nil, usagef("--compression %q must be none, gzip, snappy, lz4 or zstd", p.compression)
	}
	opts = append(opts, kgo.ProducerBatchCompression(codec))
	switch p.acks {
	case "all", "-1":
	case "leader", "1":
		opts = append(opts, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "none", "0":
		opts = append(opts, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	default:
		return nil, usagef("--acks %q must be all, leader or none", p.acks)
	}
	switch {
	case p.rate < 0:
		return nil, usagef("--rate must not be negative")
	case p.partition < -1:
		return nil, usagef("--partition must not be negative")
	case p.partition >= 0:
		opts = append(opts, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	for _, h := range p.headers {
		k, v, ok := strings.Cut(h, "=")
		if !ok || k == "" {
			return nil, usagef("--header %q must be KEY=VALUE", h)
		}
		p.header = append(p.header, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	return opts, nil
}

func (c *cli) produce(ctx context.Context, p *production) error {
	opts, err := p.options()
	if err != nil {
		return err
	}
	in, name := c.stdin, "standard input"
	if p.file != "-" {
		f, err := os.Open(p.file)
		if err != nil {
			return fmt.Errorf("records: %w", err)
		}
		defer f.Close()
		in, name = f, p.file
	}
	cl, err := c.connect(ctx, opts...)
	if err != nil {
		return err
	}
	defer cl.Close()
	s := newSender(cl, p, c.progress())
	began := time.Now()
	err = s.sendAll(ctx, in, name)
	// What was read is sent, also when it is an interrupt that ends this.
	flushCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(c.timeout, 10*time.Second))
	defer cancel()
	flushErr := cl.Flush(flushCtx)
	s.progress.done()
	if failed := s.failure(); failed != nil {
		err = failed
	} else if err == nil && flushErr != nil {
		err = fmt.Errorf("some records were not acknowledged in time: %w", flushErr)
	}
	return errors.Join(c.reportProduction(p, s, time.Since(began)), err)
}

func (c *cli) reportProduction(p *production, s *sender, took time.Duration) error {
	n, bytes := s.acknowledged()
	perSecond, bytesPerSecond := float64(n)/took.Seconds(), float64(bytes)/took.Seconds()
	return c.result(map[string]any{"topic": p.topic, "records": n, "bytes": bytes, "seconds": took.Seconds(),
		"records_per_second": perSecond, "bytes_per_second": bytesPerSecond},
		"produced %s (%s) in %s: %.0f records/s, %s/s", plural(n, "record"), size(float64(bytes)),
		took.Round(time.Millisecond), perSecond, size(bytesPerSecond))
}

// sender makes records of lines and counts what became of them.
type sender struct {
	cl       *kgo.Client
	p        *production
	progress *progress
	failed   chan struct{} // closed at the first failure

	mu    sync.Mutex
	count int64
	bytes int64
	err   error
}

func newSender(cl *kgo.Client, p *production, pr *progress) *sender {
	return &sender{cl: cl, p: p, progress: pr, failed: make(chan struct{})}
}

// maxLine bounds a record. What the broker takes is less by default.
const maxLine = 64 << 20

// sendAll reads in to its end, or until a record fails, or until ctx is done.
func (s *sender) sendAll(ctx context.Context, in io.Reader, name string) error {
	lines := make(chan []byte, 64)
	readErr := make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	// A read of a terminal cannot be interrupted; then it ends with the process.
	go func() {
		defer close(lines)
		readErr <- readLines(in, s.p.nul, lines, stop)
	}()
	began, pace := time.Now(), newPace(s.p.rate)
	for number := 1; ; number++ {
		var line []byte
		var ok bool
		select {
		case line, ok = <-lines:
		case <-ctx.Done():
			return nil
		case <-s.failed:
			return nil
		}
		if !ok {
			if err := <-readErr; err != nil {
				return fmt.Errorf("read %s, record %d: %w", name, number, err)
			}
			return nil
		}
		r, err := s.p.record(line)
		if err != nil {
			return fmt.Errorf("%s, record %d: %w", name, number, err)
		}
		pace.wait(ctx)
		s.cl.Produce(context.WithoutCancel(ctx), r, s.done)
		s.show(began)
	}
}

// readLines sends each record of in, until stop is closed.
func readLines(in io.Reader, nul bool, out chan<- []byte, stop <-chan struct{}) error {
	sc := bufio.NewScanner(in)
	sc.Buffer(make([]byte, 64<<10), maxLine)
	if nul {
		sc.Split(splitNul)
	} else {
		sc.Split(splitLine)
	}
	for sc.Scan() {
		select {
		case out <- bytes.Clone(sc.Bytes()):
		case <-stop:
			return nil
		}
	}
	if errors.Is(sc.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("it is longer than %d MiB", maxLine>>20)
	}
	return sc.Err()
}

// splitLine splits at line feeds, and leaves carriage returns where they are.
func splitLine(data []byte, atEOF bool) (int, []byte, error) { return splitAt(data, atEOF, '\n') }

func splitNul(data []byte, atEOF bool) (int, []byte, error) { return splitAt(data, atEOF, 0) }

func splitAt(data []byte, atEOF bool, end byte) (int, []byte, error) {
	if i := bytes.IndexByte(data, end); i >= 0 {
		return i + 1, data[:i], nil
	}
	if atEOF && len(data) > 0 {
		return len(data), data, nil
	}
	return 0, nil, nil
}

// record makes a record of a line.
func (p *production) record(line []byte) (*kgo.Record, error) {
	r := &kgo.Record{Value: line, Headers: p.header}
	if p.partition >= 0 {
		r.Partition = p.partition
	}
	if p.separator == "" {
		return r, nil
	}
	key, value, ok := bytes.Cut(line, []byte(p.separator))
	if !ok {
		return nil, fmt.Errorf("there is no key separator %q in it; leave out --key-separator for records without key", p.separator)
	}
	r.Key, r.Value = key, value
	return r, nil
}

// done is called when a record was acknowledged or has failed.
func (s *sender) done(r *kgo.Record, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.count++
		s.bytes += int64(len(r.Key) + len(r.Value))
		return
	}
	if s.err == nil {
		s.err = refusal("topic", r.Topic, err, "")
		close(s.failed)
	}
}

func (s *sender) acknowledged() (count, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count, s.bytes
}

func (s *sender) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *sender) show(began time.Time) {
	if s.progress.w == nil {
		return
	}
	n, bytes := s.acknowledged()
	s.progress.show("%s, %s, %s/s", plural(n, "record"), size(float64(bytes)), size(float64(bytes)/time.Since(began).Seconds()))
}

// pace lets through so many a second.
type pace struct {
	every time.Duration
	next  time.Time
}

func newPace(rate float64) *pace {
	if rate == 0 {
		return &pace{}
	}
	return &pace{every: time.Duration(float64(time.Second) / rate), next: time.Now()}
}

func (p *pace) wait(ctx context.Context) {
	if p.every == 0 {
		return
	}
	if d := time.Until(p.next); d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	p.next = p.next.Add(p.every)
}
