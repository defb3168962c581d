package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// reader prints records until it has what was requested.
type reader struct {
	*consumption
	show    func(io.Writer, *kgo.Record) error
	out     *bufio.Writer
	left    map[int32]span // ranges still to be read, by partition
	printed int64
	member  *membership // nil: without a group

	patience time.Duration // how long a partition may fail with a transient error
	say      func(format string, args ...any)
	failing  map[int32]*failing
	looked   time.Time
}

// failing is a partition that cannot be read at the moment.
type failing struct {
	since time.Time
	said  bool
}

// run prints until everything is read, ctx is done or something fails. With --follow an
// interrupt is the normal end.
func (r *reader) run(ctx context.Context, cl *kgo.Client) error {
	for !r.finished() {
		fs := r.poll(ctx, cl)
		if ctx.Err() != nil {
			return nil
		}
		if err := r.print(fs); err != nil {
			return err
		}
		err := r.failure(fs)
		if r.member != nil { // what was printed gets committed, whatever follows
			err = errors.Join(err, r.member.commit(ctx))
		}
		if err != nil && !r.full() {
			return err
		}
		if fs.NumRecords() == 0 && !r.follow && time.Since(r.looked) >= lookAgain {
			if err := r.look(ctx, cl); err != nil {
				return err
			}
		}
	}
	if r.full() {
		return nil
	}
	return r.look(ctx, cl)
}

// lookAgain is the minimum time between checks of why no records arrive.
const lookAgain = time.Second

func (r *reader) print(fs kgo.Fetches) error {
	for it := fs.RecordIter(); !it.Done() && !r.full(); {
		if err := r.take(it.Next()); err != nil {
			return err
		}
	}
	if err := r.out.Flush(); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	return nil
}

// failure returns the first error of a poll whose records were consumed, so that it names the
// position. A transient error counts once it has lasted, and never while following.
func (r *reader) failure(fs kgo.Fetches) (failed error) {
	fs.EachError(func(topic string, p int32, err error) {
		if failed != nil || errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if topic == "" || p < 0 { // concerns all partitions
			failed = refusal("topic", r.topic, err, "")
			return
		}
		at := r.left[p].from
		var tooLarge *kgo.ErrDecompressTooLarge
		if errors.As(err, &tooLarge) {
			at = tooLarge.Offset
		}
		place := ofPartition(topic, p, at, err)
		if !kerr.IsRetriable(err) || r.lasts(p, place) {
			failed = place
		}
	})
	return failed
}

// lasts records a transient error of a partition, reports it once if it lasts, and returns
// whether waiting is pointless.
func (r *reader) lasts(p int32, err error) bool {
	f := r.failing[p]
	if f == nil {
		f = &failing{since: time.Now()}
		r.failing[p] = f
	}
	took := time.Since(f.since)
	if !r.follow && took >= r.patience {
		return true
	}
	if took >= sayAfter && !f.said {
		f.said = true
		r.say("%v; retrying", err)
	}
	return false
}

// sayAfter is how long a partition may fail before that is reported: leaders move.
const sayAfter = time.Second

// poll waits for records. The wait is short with a group, to notice assignments without
// records, and when not following, to notice ends without records.
func (r *reader) poll(ctx context.Context, cl *kgo.Client) kgo.Fetches {
	wait := time.Second
	if r.member != nil {
		wait = 200 * time.Millisecond
	}
	if r.member != nil || !r.follow {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	return cl.PollRecords(ctx, r.most())
}

// most returns how many records a poll may return.
func (r *reader) most() int {
	if r.count > 0 {
		return int(min(r.count-r.printed, 10_000))
	}
	return 10_000
}

func (r *reader) full() bool { return r.count > 0 && r.printed >= r.count }

func (r *reader) take(rec *kgo.Record) error {
	delete(r.failing, rec.Partition)
	s, ok := r.left[rec.Partition]
	if !r.follow && ok && rec.Offset >= s.end { // produced after the start
		s.from = s.end
		r.left[rec.Partition] = s
		return nil
	}
	s.from = rec.Offset + 1
	r.left[rec.Partition] = s
	r.printed++
	if err := r.show(r.out, rec); err != nil {
		return fmt.Errorf("standard output: %w", err)
	}
	if r.member != nil {
		r.member.printed(rec)
	}
	return nil
}

// finished reports whether nothing is left to wait for.
func (r *reader) finished() bool {
	switch {
	case r.full():
		return true
	case r.follow:
		return false
	case r.member != nil:
		return r.member.through(r.left)
	}
	for _, s := range r.left {
		if s.from < s.end {
			return false
		}
	}
	return true
}
