package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// sender turns lines into records, sends them and counts the results.
type sender struct {
	cl       *kgo.Client
	p        *production
	progress *progress
	failed   chan struct{} // closed at the first failure
	refused  chan struct{} // closed when a broker needed for the records is unusable

	mu      sync.Mutex
	count   int64
	bytes   int64
	err     error
	started bool // there was a record to send
}

func newSender(p *production, pr *progress) *sender {
	return &sender{p: p, progress: pr, failed: make(chan struct{}), refused: make(chan struct{})}
}

// OnBrokerConnect is called by kgo, which silently retries even if that cannot help: an
// untrusted broker of the cluster fails everything unacknowledged, unless something was
// acknowledged before.
func (s *sender) OnBrokerConnect(_ kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if !turnsAway(err) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && s.count == 0 && s.started {
		s.err = err
		close(s.failed)
		close(s.refused)
	}
}

// flush waits for the results of all records.
func (s *sender) flush(ctx context.Context) error {
	flushed := make(chan error, 1)
	go func() { flushed <- s.cl.Flush(ctx) }()
	select {
	case err := <-flushed:
		return err
	case <-s.refused:
		s.cl.UnsafeAbortBufferedRecords() // none was acknowledged
		return <-flushed
	}
}

// maxLine limits a record. The broker's default limit is lower.
const maxLine = 64 << 20

// sendAll reads in until its end, until a record fails, or until ctx is done.
func (s *sender) sendAll(ctx context.Context, in io.Reader, name string) error {
	lines := make(chan []byte, 64)
	readErr := make(chan error, 1)
	stop := make(chan struct{})
	defer close(stop)
	// Reading a terminal cannot be interrupted; the goroutine then ends with the process.
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
		s.start()
		s.cl.Produce(context.WithoutCancel(ctx), r, s.done)
		s.show(began)
	}
}

func (s *sender) start() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = true
}

// readLines sends each record of in to out, until stop is closed.
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

// splitLine splits at line feeds, and keeps carriage returns.
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

// record turns a line into a record.
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
		return nil, fmt.Errorf("there is no key separator %q in it; omit --key-separator for records without keys", p.separator)
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
		s.err = notProduced(r, err)
		close(s.failed)
	}
}

// notProduced adds the partition to an error, if it has one.
func notProduced(r *kgo.Record, err error) error {
	var known *kerr.Error
	if !errors.As(err, &known) || known == kerr.InvalidTopicException || known == kerr.TopicAuthorizationFailed {
		return refusal("topic", r.Topic, err, "")
	}
	return ofPartition(r.Topic, r.Partition, -1, err)
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

// pace limits the number of records per second.
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
