package objectstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/googleapis/gax-go/v2"

	"cloud.google.com/go/storage"
)

// backoff decides whether a request is retried, and when. The SDKs send it: they
// sign each attempt and know how to rewind a body.
type backoff struct {
	attempts    int
	first, last time.Duration
	metrics     *metrics
}

// bound is the upper bound of the pause after an attempt, counted from 1.
func (b *backoff) bound(attempt int) time.Duration {
	d := b.first
	for ; attempt > 1 && d < b.last; attempt-- {
		d *= 2
	}
	return min(d, b.last)
}

// pause draws a pause: anything up to the bound ("full jitter"), so that brokers
// that failed together do not return together.
func (b *backoff) pause(attempt int) time.Duration { return rand.N(b.bound(attempt)) + 1 }

// wait pauses after an attempt unless ctx ends.
func (b *backoff) wait(ctx context.Context, attempt int) error {
	b.metrics.retries.WithLabelValues(opOf(ctx).String()).Inc()
	timer := time.NewTimer(b.pause(attempt))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// s3Retryer is a backoff for the AWS SDK.
type s3Retryer struct{ *backoff }

func (r s3Retryer) IsErrorRetryable(err error) bool { return classify(err).class.retryable() }
func (r s3Retryer) MaxAttempts() int                { return r.attempts }
func (r s3Retryer) GetInitialToken() func(error) error {
	return func(error) error { return nil }
}

func (r s3Retryer) GetRetryToken(ctx context.Context, _ error) (func(error) error, error) {
	r.metrics.retries.WithLabelValues(opOf(ctx).String()).Inc()
	return func(error) error { return nil }, nil
}

func (r s3Retryer) RetryDelay(attempt int, _ error) (time.Duration, error) {
	return r.pause(attempt), nil
}

var _ aws.Retryer = s3Retryer{}

// gcsRetry is a backoff for the Google SDK, whose own has full jitter.
func (b *backoff) gcsRetry() []storage.RetryOption {
	return []storage.RetryOption{
		storage.WithBackoff(gax.Backoff{Initial: b.first, Max: b.last, Multiplier: 2}),
		storage.WithMaxAttempts(b.attempts),
		storage.WithPolicy(storage.RetryAlways),
		storage.WithErrorFunc(func(err error) bool {
			again := classify(err).class.retryable() && !errors.Is(err, errSpent)
			if again {
				b.metrics.retries.WithLabelValues(opOther.String()).Inc()
			}
			return again
		}),
	}
}

// budget counts the attempts of an upload to GCS, whose SDK does not count them
// for uploads. The SDK sends one request at a time, so consecutive failures
// belong to the same request. The transport enforces it.
type budget struct {
	attempts int
	failures atomic.Int32
	last     atomic.Pointer[error]
	answered atomic.Bool // the store has accepted a request of this upload
}

// errSpent: a request was sent as often as configured.
var errSpent = errors.New("no attempts left")

type budgetKey struct{}

func (b *budget) on(ctx context.Context) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

func budgetOf(ctx context.Context) *budget {
	b, _ := ctx.Value(budgetKey{}).(*budget)
	return b
}

// left returns errSpent, with the last failure, when no attempts are left.
func (b *budget) left() error {
	if b == nil || int(b.failures.Load()) < b.attempts {
		return nil
	}
	return fmt.Errorf("%w: %w", errSpent, *b.last.Load())
}

// note counts the outcome of an attempt.
func (b *budget) note(resp *http.Response, err error) {
	switch {
	case b == nil:
		return
	case err == nil && !byStatus(resp.StatusCode).retryable() && resp.StatusCode != http.StatusForbidden: // 403 may be a rate limit
		b.failures.Store(0)
		if resp.StatusCode < 400 {
			b.answered.Store(true)
		}
		return
	case err == nil:
		err = fmt.Errorf("the store answered %s", resp.Status)
	}
	b.last.Store(&err)
	b.failures.Add(1)
}

// azurePolicy is a backoff for the Azure SDK, whose own has little jitter.
type azurePolicy struct{ *backoff }

func (p azurePolicy) Do(req *policy.Request) (*http.Response, error) {
	ctx := req.Raw().Context()
	for attempt := 1; ; attempt++ {
		if err := req.RewindBody(); err != nil {
			return nil, err
		}
		resp, err := req.Clone(ctx).Next()
		again := err != nil && classify(err).class.retryable() || err == nil && azureRetryable(resp)
		if !again || attempt == p.attempts || ctx.Err() != nil {
			return resp, err
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		if err := p.wait(ctx, attempt); err != nil {
			return nil, err
		}
	}
}

var _ policy.Policy = azurePolicy{}

// azureRetryable classifies by Azure's error code in a header, then by status. A
// conflict without a known code is how Azure says that the key exists.
func azureRetryable(resp *http.Response) bool {
	if m, known := codes[resp.Header.Get("X-Ms-Error-Code")]; known {
		return m.class.retryable()
	}
	return byStatus(resp.StatusCode).retryable() && resp.StatusCode != http.StatusConflict
}
