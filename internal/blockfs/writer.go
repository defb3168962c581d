package blockfs

import "sync"

// Request is one write of a Writer.
type Request struct {
	File   File
	Off    int64
	Buffer *Buffer // all of its Bytes
	Mode   Mode
	// Done is called once, on a goroutine of the writer, which it must not block.
	// Until then the caller keeps its reference to Buffer.
	Done func(error)
}

// Writer keeps several writes in flight, which complete in any order.
type Writer interface {
	// Submit starts r or queues it, and blocks while twice the depth are incomplete.
	// It may be called concurrently, but not after Close.
	Submit(r Request)
	// Close waits for the submitted writes.
	Close()
	// Name says how writes are made, for logs and metrics.
	Name() string
}

// writers is an FS with a better way to write than one call at a time.
type writers interface {
	NewWriter(depth int) (Writer, error)
}

// NewWriter returns the best Writer of fs, for depth concurrent writes.
func NewWriter(fs FS, depth int) (Writer, error) {
	if w, ok := fs.(writers); ok {
		return w.NewWriter(depth)
	}
	return newWorkers(depth, Pwrite), nil
}

// workerWriter is the Writer that works for every FS: each of its workers makes one
// blocking call at a time.
type workerWriter struct {
	name     Engine
	requests chan Request
	workers  sync.WaitGroup
}

func newWorkers(depth int, name Engine) *workerWriter {
	c := &workerWriter{name: name, requests: make(chan Request)}
	for range depth {
		c.workers.Go(func() {
			for r := range c.requests {
				r.Done(r.File.WriteAt(r.Buffer.Bytes(), r.Off, r.Mode))
			}
		})
	}
	return c
}

func (c *workerWriter) Submit(r Request) { c.requests <- r }

func (c *workerWriter) Close() {
	close(c.requests)
	c.workers.Wait()
}

func (c *workerWriter) Name() string { return string(c.name) }
