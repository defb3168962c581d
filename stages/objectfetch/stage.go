package objectfetch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/unreadable"
	"github.com/sluicemq/sluice/pipeline"
	"github.com/sluicemq/sluice/stages/readcache"
)

// readsAtOnce bounds the reads of one fetch that wait for the store at once.
const readsAtOnce = 16

// Stage serves what is still cold. A fetch waits until its first read has a
// result, a moment longer for the others, and no longer than its client wants to;
// then it continues with what there is. Reads left out have neither records nor
// an error. Their requests continue, so that the client finds the result when it
// fetches again. A waiting fetch does not occupy a worker.
func (f *Fetcher) Stage() pipeline.Stage[*flow.Fetch, *flow.Fetch] {
	return pipeline.StageFunc[*flow.Fetch, *flow.Fetch](func(ctx context.Context, in *pipeline.In[*flow.Fetch], out pipeline.Emit[*flow.Fetch]) error {
		var waiting sync.WaitGroup
		defer waiting.Wait()
		for {
			p, err := in.Recv(ctx)
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			waiting.Go(func() {
				f.serve(ctx, p.Body)
				_ = out(ctx, p) // on failure the parcel has been nacked
			})
		}
	})
}

// found is the result of one read.
type found struct {
	read   *flow.Read
	blocks [][]byte
	err    error
}

// serve reads for all reads of a fetch.
func (f *Fetcher) serve(ctx context.Context, fetch *flow.Fetch) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	var cold []*flow.Read
	any := false
	for _, r := range fetch.Reads {
		if r.Cold() && r.Object != nil {
			cold = append(cold, r)
		}
		any = any || r.Bytes > 0 || r.Err != nil
	}
	results := f.start(ctx, cold)
	began := time.Now()
	var rest <-chan time.Time // for reads not served when the first one is
	for left := len(cold); left > 0; left-- {
		if any && rest == nil {
			rest = time.After(min(max(time.Since(began)/4, minGrace), maxGrace))
		}
		select {
		case x := <-results:
			any = f.take(x) || any
			continue
		case <-rest:
		case <-fetch.Due:
		}
		leave() // waiters give up; what arrived in spite of that is taken
		for ; left > 0; left-- {
			f.take(<-results)
		}
		break
	}
	fetch.Stamp()
}

// How long to wait for the remaining reads once one is served: a quarter of the
// time that the first one took, within these bounds.
const (
	minGrace = 10 * time.Millisecond
	maxGrace = 250 * time.Millisecond
)

// start reads for each of cold, and sends one result for each.
func (f *Fetcher) start(ctx context.Context, cold []*flow.Read) <-chan found {
	results := make(chan found, len(cold))
	places := make(chan struct{}, readsAtOnce)
	go func() {
		for i, r := range cold {
			select {
			case places <- struct{}{}:
			case <-ctx.Done():
				for _, r := range cold[i:] {
					results <- found{read: r, err: context.Cause(ctx)}
				}
				return
			}
			go func() {
				blocks, err := f.find(ctx, r)
				results <- found{r, blocks, err}
				<-places
			}()
		}
	}()
	return results
}

// take stores the result in its read, and reports whether there is something to
// respond with.
func (f *Fetcher) take(x found) bool {
	r := x.read
	if x.err != nil {
		if !errors.Is(x.err, context.Canceled) { // the client did not want to wait, or the broker is stopping
			r.Err = x.err
		}
		return r.Err != nil
	}
	for _, b := range x.blocks {
		if r.Bytes > 0 && r.Bytes >= r.MaxBytes {
			break
		}
		full, err := readcache.Add(r, b, flow.FromObject)
		if err != nil && r.Bytes == 0 { // it is what was written, but not a batch
			r.Err = f.tracker.Failed(unreadable.Place{Object: r.Object.ID, Partition: r.State.ID, Base: r.Offset, End: r.Offset + 1}, unreadable.Damaged, err)
		}
		if full || err != nil {
			break
		}
	}
	if r.Err == nil {
		f.follower.note(r)
	}
	return true
}
