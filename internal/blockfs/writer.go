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

// Writer has several writes under way at once, which complete in any order.
type Writer interface {
	// Submit begins r, or has it wait for its turn, and waits itself while twice
	// the depth are not done. It may be called concurrently, but not after Close.
	Submit(r Request)
	// Close waits for what was submitted.
	Close()
	// Name says how writes are made, for logs and metrics.
	Name() string
}

// writers is an FS that has a better way to write than one call a time.
type writers interface {
	NewWriter(depth int) (Writer, error)
}

// NewWriter returns the best Writer that fs has, with so many writes at once.
func NewWriter(fs FS, depth int) (Writer, error) {
	if w, ok := fs.(writers); ok {
		return w.NewWriter(depth)
	}
	return newCrew(depth, Pwrite), nil
}

// crew is the Writer that every FS can have: each of its workers is in one
// blocking call at a time.
type crew struct {
	name     Engine
	requests chan Request
	workers  sync.WaitGroup
}

func newCrew(depth int, name Engine) *crew {
	c := &crew{name: name, requests: make(chan Request)}
	for range depth {
		c.workers.Go(func() {
			for r := range c.requests {
				r.Done(r.File.WriteAt(r.Buffer.Bytes(), r.Off, r.Mode))
			}
		})
	}
	return c
}

func (c *crew) Submit(r Request) { c.requests <- r }

func (c *crew) Close() {
	close(c.requests)
	c.workers.Wait()
}

func (c *crew) Name() string { return string(c.name) }
