package objectstore

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// transport carries every HTTP request of the SDKs: it waits for a permit, paces what
// is sent, watches that bytes move, and tells limiter and metrics how it went.
//
// The permit of a read is held to the end of the answer's body. That of any other
// request is given back with the answer's head: the bodies are short, and an SDK may
// forget to close one (Google's does, between two attempts at a chunk). Whatever is
// forgotten ends with the stall.
type transport struct {
	base      http.RoundTripper
	limit     *limiter
	bandwidth *bandwidth
	stall     time.Duration
	metrics   *metrics
	// counts is set where the SDK does not count the attempts of an upload.
	counts bool
}

// newBase returns a transport as net/http's, with connections for all requests.
func newBase(cfg Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = cfg.MaxRequests
	t.DisableCompression = true // ranges are of bytes as stored
	t.WriteBufferSize, t.ReadBufferSize = 64<<10, 64<<10
	return t
}

// client returns an HTTP client over t. Redirects are answers like others: following
// one would send the request, and its signature, elsewhere.
func (t *transport) client() *http.Client {
	return &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// RoundTrip sends one request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !t.counts {
		return t.send(req)
	}
	b := budgetOf(req.Context())
	if err := b.left(); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	resp, err := t.send(req)
	b.note(resp, err)
	return resp, err
}

func (t *transport) send(req *http.Request) (*http.Response, error) {
	o := opOf(req.Context())
	p, err := t.limit.acquire(req.Context(), o.waited() || o == opOther && req.Method == http.MethodGet)
	if err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	x := &exchange{transport: t, op: o, permit: p, began: time.Now()}
	ctx := x.watch(req.Context())
	out := req.Clone(ctx)
	body := &sending{ReadCloser: req.Body, exchange: x, ctx: ctx}
	if req.Body != nil && req.Body != http.NoBody {
		out.Body = body
	}
	out.GetBody = nil // net/http may not send anything twice by itself
	resp, err := t.base.RoundTrip(out)
	if err != nil || resp.StatusCode >= 300 {
		body.retire()
	}
	if err != nil {
		err = x.cause(ctx, err)
		x.finish(err, 0)
		x.close()
		return nil, err
	}
	if req.Method != http.MethodGet || resp.StatusCode >= 300 {
		x.finish(nil, resp.StatusCode)
	}
	resp.Body = &receiving{ReadCloser: resp.Body, exchange: x, ctx: ctx, status: resp.StatusCode}
	return resp, nil
}

// exchange is one request with its answer.
type exchange struct {
	*transport
	op     op
	permit permit
	began  time.Time

	cancel context.CancelCauseFunc
	timer  *time.Timer
	once   sync.Once
}

// watch returns a context that ends when no byte moves for too long.
func (x *exchange) watch(ctx context.Context) context.Context {
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.timer = time.AfterFunc(x.stall, func() {
		x.cancel(errStalled)
		x.finish(errStalled, 0)
	})
	return ctx
}

// moved is called when bytes have moved.
func (x *exchange) moved() { x.timer.Reset(x.stall) }

// cause is err, or that the request stalled, which net/http takes for the caller's
// change of mind.
func (x *exchange) cause(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// finish counts the exchange and gives the permit back, once: err is how the transfer
// ended, status what was answered, 0 for nothing.
func (x *exchange) finish(err error, status int) {
	x.once.Do(func() {
		name, how := tell(err, status)
		if status != 0 && byStatus(status) == classThrottle {
			x.metrics.throttled.Inc()
		}
		x.metrics.request(x.op, name, time.Since(x.began))
		x.limit.release(x.permit, how)
	})
}

// close frees what the exchange holds.
func (x *exchange) close() {
	x.timer.Stop()
	x.cancel(nil)
}

// tell names an outcome, for the metrics and for the limiter.
func tell(err error, status int) (string, outcome) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled", neutral
	case errors.Is(err, errStalled):
		return "lost", congested
	case err != nil:
		return "lost", neutral
	}
	if status == http.StatusConflict { // how Azure says that the key is taken
		return "exists", succeeded
	}
	switch byStatus(status) {
	case classThrottle:
		return "throttled", congested
	case classRetry:
		return "failed", neutral
	case classTaken:
		return "exists", succeeded
	case classMissing, classShort:
		return "missing", succeeded
	case classRefused:
		if status == http.StatusPermanentRedirect { // GCS: go on with the upload
			return "ok", succeeded
		}
		return "refused", neutral
	default:
		return "ok", succeeded
	}
}

// sending is a request's body on its way out.
type sending struct {
	io.ReadCloser
	*exchange
	ctx context.Context

	mu      sync.Mutex
	retired bool
}

// retire ends the use of the body. A store may answer before it has heard all of it;
// net/http would read on beside the next attempt, which sends the same body.
func (s *sending) retire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.retired = true
}

func (s *sending) Read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.retired {
		return 0, http.ErrBodyReadAfterClose
	}
	s.timer.Stop() // waiting for bandwidth is not a stall
	n, err := s.bandwidth.read(s.ctx, s.ReadCloser, b)
	s.moved()
	s.metrics.bytes.WithLabelValues("sent").Add(float64(n))
	return n, err
}

// receiving is an answer's body on its way in.
type receiving struct {
	io.ReadCloser
	*exchange
	ctx    context.Context
	status int
}

func (r *receiving) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.moved()
	r.metrics.bytes.WithLabelValues("received").Add(float64(n))
	switch {
	case errors.Is(err, io.EOF):
		r.finish(nil, r.status)
	case err != nil:
		err = r.cause(r.ctx, err)
		r.finish(err, r.status)
	}
	return n, err
}

// Close ends the exchange. A body that was not read to its end is one the caller did
// not want more of.
func (r *receiving) Close() error {
	err := r.ReadCloser.Close()
	r.finish(nil, r.status)
	r.close()
	return err
}
