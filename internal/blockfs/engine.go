package blockfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Engine is how a Dir keeps several writes in flight.
type Engine string

const (
	// Auto chooses the first of the others that works.
	Auto Engine = "auto"
	// IOURing submits writes to the kernel's io_uring, bypassing the page cache.
	IOURing Engine = "io_uring"
	// Pwrite uses one blocking thread per write, bypassing the page cache where the
	// file system allows it.
	Pwrite Engine = "pwrite"
	// Buffered is Pwrite through the page cache, with a sync after each durable
	// write.
	Buffered Engine = "buffered"
)

// probeName is a file of one block. It stays, so that a start on a full disk finds
// room to probe in.
const probeName = "probe.tmp"

// probe writes one block in each way, best first, and keeps the first that works.
func (d *Dir) probe() error {
	block := Aligned(BlockSize)
	var err error
	for _, way := range []struct{ direct, dsync bool }{{true, true}, {true, false}, {false, true}, {false, false}} {
		if way.direct && (d.opts.Engine == Buffered || !hasDirect) || way.dsync && !hasDsync {
			continue
		}
		d.direct, d.dsync = way.direct, way.dsync
		err = d.withProbe(func(f *file) error {
			if err := f.WriteAt(block, 0, Durable); err != nil {
				return err
			}
			_, err := f.ReadAt(block, 0)
			return err
		})
		if err == nil || !unsupported(err) {
			break
		}
	}
	return err
}

// withProbe calls f with a file of one block.
func (d *Dir) withProbe(f func(*file) error) error {
	p, err := d.open(probeName, os.O_RDWR|os.O_CREATE)
	if err != nil {
		return err
	}
	defer p.Close()
	if err := p.f.Truncate(BlockSize); err != nil {
		return d.explain("write", probeName, err)
	}
	p.size = BlockSize
	return f(p)
}

func unsupported(err error) bool {
	return errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported)
}

// choose picks the engine for Writers, once files can be written, and says why.
func (d *Dir) choose() (why string, err error) {
	wanted := d.opts.Engine
	if d.direct {
		d.engine = Pwrite
	}
	switch {
	case wanted == Buffered || wanted == Pwrite && d.direct:
		return "configured", nil
	case !d.direct:
		err = errors.New("the file system refuses O_DIRECT")
	case !d.dsync:
		err = errors.New("the file system refuses RWF_DSYNC")
	default:
		err = d.tryRing()
	}
	switch {
	case err == nil:
		d.engine = IOURing
		if wanted == IOURing {
			return "configured", nil
		}
		return "fastest", nil
	case wanted == IOURing:
		return "", fmt.Errorf("disk engine %s does not work in %s; choose %q: %w", IOURing, d.path, Auto, err)
	}
	return err.Error(), nil
}

// tryRing writes a block as a Writer with io_uring does.
func (d *Dir) tryRing() error {
	w, err := newRingWriter(d, 1)
	if err != nil {
		return err
	}
	defer w.Close()
	return d.withProbe(func(f *file) error {
		b, err := NewPool(BlockSize).Get(context.Background(), BlockSize)
		if err != nil {
			return err
		}
		defer b.Release()
		clear(b.Bytes())
		done := make(chan error, 1)
		w.Submit(Request{File: f, Buffer: b, Mode: Durable, Done: func(err error) { done <- err }})
		return <-done
	})
}

// NewWriter returns a Writer of the directory's engine. If the system cannot
// create another ring it falls back to Pwrite, unless IOURing was requested.
func (d *Dir) NewWriter(depth int) (Writer, error) {
	if d.engine != IOURing {
		return newWorkers(depth, d.engine), nil
	}
	w, err := newRingWriter(d, depth)
	switch {
	case err == nil:
		return w, nil
	case d.opts.Engine == IOURing:
		return nil, fmt.Errorf("writer of %s: %w; choose disk engine %q", d.path, err, Auto)
	}
	d.logger.Warn("cannot create another io_uring; falling back to pwrite", "dir", d.path, "err", err)
	return newWorkers(depth, Pwrite), nil
}

// Engine returns how Writers write: an Engine other than Auto.
func (d *Dir) Engine() string { return string(d.engine) }

// Access returns how files are opened, direct or buffered, and what makes a write
// durable.
func (d *Dir) Access() string {
	access := "buffered"
	if d.direct {
		access = "direct"
	}
	if d.dsync {
		return access + "+dsync"
	}
	return access + "+fdatasync"
}
