package kafka

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// write writes answers in the order of their requests until the queue is closed
// or the client fails; then it waits for the handlers that are left.
func (c *conn) write() error {
	out := writers.Get().(*bufio.Writer)
	out.Reset(&c.out)
	var scratch []byte
	var failure error
	fail := func(err error) {
		if failure == nil {
			failure, c.failure = err, err
			close(c.failed)
			if errors.Is(err, errTooSlow) {
				c.s.slow("answer", c)
			}
			c.interrupt()
		}
	}
	one := func(p *pending) {
		if failure == nil && out.Buffered() > 0 && !p.replied.Load() {
			if err := c.flush(out); err != nil {
				fail(err)
			}
		}
		<-p.done
		if c.ended.Load() {
			fail(errGone)
		}
		if failure == nil {
			var err error
			if scratch, err = c.writeOne(out, p, scratch); err == nil && len(c.queue) == 0 {
				err = c.flush(out)
			}
			if err != nil {
				fail(err)
			}
		}
		if failure != nil && !p.resp.Silent {
			c.s.metrics.dropped.Inc()
		}
		c.discard(p)
		c.owed.Add(-1)
		if failure == nil && p.resp.Close {
			fail(errClosedByHandler)
		}
	}
	for p := range c.queue {
		one(p)
	}
	if c.last != nil {
		one(c.last)
	}
	if failure == nil {
		failure = c.flush(out)
	}
	out.Reset(nil)
	writers.Put(out)
	if errors.Is(failure, errClosedByHandler) {
		return nil
	}
	return failure
}

var errClosedByHandler = errors.New("closed by a handler")

func (c *conn) flush(out *bufio.Writer) error {
	if out.Buffered() == 0 {
		return nil
	}
	return out.Flush()
}

// writeOne writes one answer; scratch is memory to encode into.
func (c *conn) writeOne(out *bufio.Writer, p *pending, scratch []byte) ([]byte, error) {
	defer func() { p.api.requests.Inc(); p.api.seconds.Observe(time.Since(p.began).Seconds()) }()
	r := &p.resp
	if r.Silent {
		return scratch, nil
	}
	if r.Message == nil && r.Body == nil {
		return scratch, errClosedByHandler
	}
	scratch = appendHeader(scratch[:0], p.api.Key, p.correlationID, p.flexible)
	if r.Message != nil {
		scratch = r.Message.AppendTo(scratch)
	}
	size := len(scratch) - 4
	for _, b := range r.Body {
		size += len(b)
	}
	if size > math.MaxInt32 {
		return scratch, fmt.Errorf("an answer of %d bytes does not fit a frame", size)
	}
	binary.BigEndian.PutUint32(scratch, uint32(size))
	c.s.metrics.out.Add(float64(size + 4))
	c.out.begin()
	if _, err := out.Write(scratch); err != nil {
		return scratch, err
	}
	for _, b := range r.Body {
		if _, err := out.Write(b); err != nil {
			return scratch, err
		}
	}
	if cap(scratch) > 1<<20 {
		scratch = nil // one large answer is no reason to keep its memory
	}
	return scratch, nil
}
