package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"
)

// write writes responses in the order of their requests until the queue is closed or writing
// fails; then it waits for the remaining handlers.
func (c *conn) write() error {
	w := writing{c: c}
	for p := range c.queue {
		w.one(p)
	}
	if c.last != nil {
		w.one(c.last)
	}
	w.rest()
	if errors.Is(w.failure, errClosedByHandler) {
		return nil
	}
	return w.failure
}

// writing is the state of write.
type writing struct {
	c       *conn
	out     *outBuffer // nil while nothing is gathered
	failure error
}

func (w *writing) fail(err error) {
	if w.failure != nil {
		return
	}
	w.failure, w.c.failure = err, err
	close(w.c.failed)
	if errors.Is(err, errTooSlow) {
		w.c.s.slow("response", w.c)
	}
	w.c.interrupt()
}

// rest writes what was gathered and returns the buffer.
func (w *writing) rest() {
	if w.out == nil {
		return
	}
	if w.failure == nil {
		if err := w.out.flush(); err != nil {
			w.fail(err)
		}
	}
	returnOutBuffer(w.out)
	w.out = nil
}

// one waits for a response and writes it; it is gathered with others that are ready.
func (w *writing) one(p *pending) {
	c := w.c
	if !p.replied.Load() {
		w.rest()
	}
	<-p.done
	if c.ended.Load() {
		w.fail(errGone)
	}
	if w.failure == nil {
		if w.out == nil {
			w.out = borrowOut(&c.out)
		}
		if err := c.writeOne(w.out, p); err != nil {
			w.fail(err)
		}
		if w.failure != nil || len(c.queue) == 0 {
			w.rest()
		}
	}
	if w.failure != nil && !p.resp.Silent {
		c.s.metrics.dropped.Inc()
	}
	c.discard(p)
	c.owed.Add(-1)
	if w.failure == nil && p.resp.Close {
		w.fail(errClosedByHandler)
	}
}

var errClosedByHandler = errors.New("closed by a handler")

// writeOne gathers one response.
func (c *conn) writeOne(o *outBuffer, p *pending) error {
	defer func() { p.api.requests.Inc(); p.api.seconds.Observe(time.Since(p.began).Seconds()) }()
	r := &p.resp
	if r.Silent {
		return nil
	}
	if r.Message == nil && r.Body == nil && r.parts == nil {
		return errClosedByHandler
	}
	scratch := appendHeader(o.scratch[:0], p.api.Key, p.correlationID, p.flexible)
	if r.Message != nil {
		scratch = r.Message.AppendTo(scratch)
	}
	o.scratch = scratch
	size := len(scratch) - 4
	for _, b := range r.Body {
		size += len(b)
	}
	if r.parts != nil {
		return c.writeParts(o, r.parts)
	}
	if size > math.MaxInt32 {
		return fmt.Errorf("a response of %d bytes does not fit into a frame", size)
	}
	binary.BigEndian.PutUint32(scratch, uint32(size))
	c.s.metrics.out.Add(float64(size + 4))
	c.out.begin()
	if _, err := o.w.Write(scratch); err != nil {
		return err
	}
	for _, b := range r.Body {
		if _, err := o.w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// writeParts gathers a response that is generated while it is written. o.scratch has its header.
// A panic costs the client its connection, as in a handler.
func (c *conn) writeParts(o *outBuffer, a *parts) (err error) {
	defer func() {
		if v := recover(); v != nil {
			c.s.log.Error("handler panicked; closing its connection", "panic", v, "stack", string(debug.Stack()))
			c.s.metrics.panics.Inc()
			err = errClosedByHandler
		}
	}()
	header := a.begin(o.scratch)
	size := len(header) - 4 + len(a.tail)
	rows, err := a.each(c, nil, func(b []byte) error {
		if size += len(b); size > math.MaxInt32 {
			return fmt.Errorf("an answer of more than %d bytes does not fit a frame", math.MaxInt32)
		}
		return nil
	})
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint32(header, uint32(size))
	c.s.metrics.out.Add(float64(size + 4))
	c.out.begin()
	write := func(b []byte) error { _, err := o.w.Write(b); return err }
	if err := write(header); err != nil {
		return err
	}
	if _, err := a.each(c, rows, write); err != nil {
		return err
	}
	return write(a.tail)
}
