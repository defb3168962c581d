package objectstore

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"
)

// transport carries every HTTP request of the SDKs: it waits for a permit, limits
// the upload rate, watches for stalls, and reports the outcome to limiter and
// metrics.
//
// A read holds its permit until the end of the response body. Any other request
// releases it with the response header: the bodies are short, and an SDK may
// forget to close one (Google's does, between two attempts at a chunk). A
// forgotten body ends with the stall timeout.
type transport struct {
	base      http.RoundTripper
	limit     *limiter
	bandwidth *bandwidth
	stall     time.Duration
	metrics   *metrics
	// counts is set if the SDK does not count the attempts of an upload.
	counts bool
}

// newBase returns a transport like net/http's, with enough connections for all
// requests.
func newBase(cfg Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns = 0
	t.MaxIdleConnsPerHost = cfg.MaxRequests
	t.DisableCompression = true // ranges refer to stored bytes
	t.WriteBufferSize, t.ReadBufferSize = 64<<10, 64<<10
	return t
}

// client returns an HTTP client over t. Redirects are treated as responses:
// following one would send the request, and its signature, elsewhere.
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
	out.GetBody = nil // net/http must not retry by itself
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

// exchange is one request with its response.
type exchange struct {
	*transport
	op     op
	permit permit
	began  time.Time

	cancel context.CancelCauseFunc
	timer  *time.Timer
	once   sync.Once
}

// watch returns a context that ends when no byte is transferred for too long.
func (x *exchange) watch(ctx context.Context) context.Context {
	ctx, x.cancel = context.WithCancelCause(ctx)
	x.timer = time.AfterFunc(x.stall, func() {
		x.cancel(errStalled)
		x.finish(errStalled, 0)
	})
	return ctx
}

// moved is called after each transfer.
func (x *exchange) moved() { x.timer.Reset(x.stall) }

// cause returns err, or errStalled, which net/http reports as a cancellation by
// the caller.
func (x *exchange) cause(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// finish counts the exchange and releases the permit, once: err is how the
// transfer ended, status the response's, 0 for none.
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

// close frees the resources of the exchange.
func (x *exchange) close() {
	x.timer.Stop()
	x.cancel(nil)
}

// tell names an outcome for the metrics and the limiter.
func tell(err error, status int) (string, outcome) {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "cancelled", neutral
	case errors.Is(err, errStalled):
		return "lost", congested
	case err != nil:
		return "lost", neutral
	}
	if status == http.StatusConflict { // how Azure says that the key exists
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
		if status == http.StatusPermanentRedirect { // GCS: continue the upload
			return "ok", succeeded
		}
		return "refused", neutral
	default:
		return "ok", succeeded
	}
}

// sending is a request body being sent.
type sending struct {
	io.ReadCloser
	*exchange
	ctx context.Context

	mu      sync.Mutex
	retired bool
}

// retire ends the use of the body. A store may respond before it has received all
// of it; net/http would then keep reading while the next attempt sends the same
// body.
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

// receiving is a response body being received.
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

// Close ends the exchange. If the body was not read to its end, the caller did
// not want the rest.
func (r *receiving) Close() error {
	err := r.ReadCloser.Close()
	r.finish(nil, r.status)
	r.close()
	return err
}
