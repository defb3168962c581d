package objectstore

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/api/googleapi"
)

func s3Error(status int, code string) error {
	var err error = &smithy.GenericAPIError{Code: code}
	return &smithy.OperationError{Err: &awshttp.ResponseError{ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: status}}, Err: err}}}
}

func azureError(status int, code string) error {
	return &azcore.ResponseError{StatusCode: status, ErrorCode: code}
}

func gcsError(status int, message string) error {
	return fmt.Errorf("put: %w", &googleapi.Error{Code: status, Message: message})
}

func gcsReason(status int, reason string) error {
	return fmt.Errorf("put: %w", &googleapi.Error{Code: status, Message: "words", Errors: []googleapi.ErrorItem{{Reason: reason, Message: "words"}}})
}

func sent(err error) error { return &url.Error{Op: "Put", URL: "http://x", Err: err} }

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want class
	}{
		{"nothing", nil, classUnknown},
		{"S3 SlowDown", s3Error(503, "SlowDown"), classThrottle},
		{"S3 503 without a body", s3Error(503, ""), classThrottle},
		{"S3 429", s3Error(429, "TooManyRequests"), classThrottle},
		{"S3 500", s3Error(500, "InternalError"), classRetry},
		{"S3 500 in a 200", s3Error(200, "InternalError"), classRetry},
		{"S3 400 that is a timeout", s3Error(400, "RequestTimeout"), classRetry},
		{"S3 400 damaged on the way", s3Error(400, "BadDigest"), classRetry},
		{"S3 409 of two writers", s3Error(409, "ConditionalRequestConflict"), classRetry},
		{"S3 501", s3Error(501, "NotImplemented"), classRefused},
		{"S3 400", s3Error(400, "InvalidRequest"), classRefused},
		{"S3 403", s3Error(403, "AccessDenied"), classRefused},
		{"S3 301", s3Error(301, "PermanentRedirect"), classRefused},
		{"S3 no bucket", s3Error(404, "NoSuchBucket"), classRefused},
		{"S3 no key", s3Error(404, "NoSuchKey"), classMissing},
		{"S3 no key by HEAD", s3Error(404, "NotFound"), classMissing},
		{"S3 taken", s3Error(412, "PreconditionFailed"), classTaken},
		{"S3 upload over", s3Error(404, "NoSuchUpload"), classTaken},
		{"S3 no answer", s3Error(0, ""), classUnknown},
		{"Azure busy", azureError(503, "ServerBusy"), classThrottle},
		{"Azure 500", azureError(500, "OperationTimedOut"), classRetry},
		{"Azure no container", azureError(404, "ContainerNotFound"), classRefused},
		{"Azure no blob", azureError(404, "BlobNotFound"), classMissing},
		{"Azure taken", azureError(409, "BlobAlreadyExists"), classTaken},
		{"Azure 403", azureError(403, "AuthorizationFailure"), classRefused},
		{"S3 archived", s3Error(403, "InvalidObjectState"), classRefused},
		{"S3 limit on the rate, with an odd status", s3Error(403, "SlowDown"), classThrottle},
		{"MinIO without room", s3Error(507, "XMinioStorageFull"), classRetry},
		{"Azure archived", azureError(409, "BlobArchived"), classRefused},
		{"Azure retained", azureError(409, "BlobImmutableDueToPolicy"), classRefused},
		{"Azure container going", azureError(409, "ContainerBeingDeleted"), classRetry},
		{"Azure without rights at all", azureError(404, "ResourceNotFound"), classRefused},
		{"GCS limit on the rate, of old", gcsReason(403, "rateLimitExceeded"), classThrottle},
		{"GCS denied", gcsReason(403, "forbidden"), classRefused},
		{"GCS backend", gcsReason(500, "backendError"), classRetry},
		{"GCS retained", gcsReason(403, "retentionPolicyNotMet"), classRefused},
		{"S3 beyond the end", s3Error(416, "InvalidRange"), classShort},
		{"Azure beyond the end", azureError(416, "InvalidRange"), classShort},
		{"GCS beyond the end", gcsError(416, ""), classShort},
		{"GCS 429", gcsError(429, ""), classThrottle},
		{"GCS 502", gcsError(502, ""), classRetry},
		{"GCS no bucket", gcsError(404, "The specified bucket does not exist."), classRefused},
		{"GCS no bucket, typed", storage.ErrBucketNotExist, classRefused},
		{"GCS no object", gcsError(404, "No such object: a/b"), classMissing},
		{"GCS no object, typed", storage.ErrObjectNotExist, classMissing},
		{"GCS taken", gcsError(412, "conditionNotMet"), classTaken},
		{"connection reset", sent(&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}), classRetry},
		{"connection refused", sent(syscall.ECONNREFUSED), classRetry},
		{"cut off", sent(io.ErrUnexpectedEOF), classRetry},
		{"cut off between requests", sent(io.EOF), classRetry},
		{"no such host", sent(&net.DNSError{IsNotFound: true}), classRetry},
		{"stalled", sent(errStalled), classRetry},
		{"deadline of a request", sent(context.DeadlineExceeded), classRetry},
		{"the caller went away", sent(context.Canceled), classGivenUp},
		{"certificate", sent(x509.UnknownAuthorityError{}), classRefused},
		{"disk full", &os.PathError{Op: "write", Err: syscall.ENOSPC}, classUnknown},
	} {
		if got := classify(c.err); got.class != c.want {
			t.Errorf("%s: class %d, want %d", c.name, got.class, c.want)
		}
	}
}

func TestRefusalsSayWhatToDo(t *testing.T) {
	for says, err := range map[string]error{
		"create it":                  s3Error(404, "NoSuchBucket"),
		"set it":                     s3Error(403, "RequestTimeTooSkewed"),
		"?region=":                   s3Error(400, "AuthorizationHeaderMalformed"),
		"correct them":               s3Error(403, "SignatureDoesNotMatch"),
		"allow these credentials":    azureError(403, "AuthorizationFailure"),
		"add its CA":                 sent(x509.UnknownAuthorityError{}),
		"knows conditional writes":   s3Error(501, "NotImplemented"),
		"the region or the endpoint": s3Error(307, "TemporaryRedirect"),
		"restore it":                 s3Error(403, "InvalidObjectState"),
		"legal hold":                 azureError(409, "BlobImmutableDueToLegalHold"),
		"sign in with an identity":   azureError(403, "KeyBasedAuthenticationNotPermitted"),
		"not paid for":               gcsReason(403, "billingNotEnabled"),
		"encrypt and decrypt":        s3Error(400, "KMS.DisabledException"),
	} {
		got := mapped(context.Background(), "put", "k", err)
		if !errors.Is(got, ErrRefused) || !strings.Contains(got.Error(), says) {
			t.Errorf("want %q in: %v", says, got)
		}
	}
}

// Some stores, such as Azure, grant access by a token in the URL. No such secret appears in
// an error, however the request failed.
func TestErrorsHideSecretsInURLs(t *testing.T) {
	for _, cause := range []error{syscall.ECONNREFUSED, x509.UnknownAuthorityError{}, errors.New("http: server gave HTTP response to HTTPS client")} {
		err := &url.Error{Op: "Put", URL: "https://user:hidden@store.example.org:444/c/k?sig=hidden", Err: cause}
		got := mapped(context.Background(), "put", "k", fmt.Errorf("operation error S3: PutObject, %w", err))
		if text := got.Error(); strings.Contains(text, "hidden") || !strings.Contains(text, "https://store.example.org:444: "+cause.Error()) || !errors.Is(got, err) {
			t.Errorf("got %s", text)
		}
	}
	identity := fmt.Errorf("get identity: get credentials: no EC2 IMDS role found, %w", &url.Error{Op: "Get", URL: "http://169.254.169.254/latest", Err: syscall.ENETUNREACH})
	if got := mapped(context.Background(), "put", "k", identity); !strings.Contains(got.Error(), ": get credentials: no EC2 IMDS role found, ") {
		t.Errorf("without credentials: %v", got)
	}
}

// An error response is reported on one line, by the store's own code, not its status.
func TestErrorsNameTheStoresCode(t *testing.T) {
	denied := &smithy.OperationError{Err: &awshttp.ResponseError{RequestID: "R1", ResponseError: &smithyhttp.ResponseError{
		Response: &smithyhttp.Response{Response: &http.Response{StatusCode: http.StatusForbidden}}, Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "Access\n  Denied"}}}}
	raw := &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{"X-Ms-Request-Id": {"R2"}}, Body: http.NoBody}
	azure := &azcore.ResponseError{StatusCode: 403, ErrorCode: "AuthorizationFailure", RawResponse: raw}
	for want, err := range map[string]error{
		"put object k: the object store refuses it: AccessDenied (HTTP 403, request R1): " + doAllow + "; the store says: Access Denied":                         denied,
		"put object k: the object store refuses it: AuthorizationFailure (HTTP 403, request R2): " + doAllow + "; the account's network rules may be in the way": azure,
		"put object k: the object store refuses it: forbidden (HTTP 403): " + doAllow + "; the store says: words":                                                gcsReason(403, "forbidden"),
		"put object k: the object store refuses it: HTTP 403: " + doAllow:                                                                                        s3Error(403, ""),
		"put object k: the object store is not available: SlowDown (HTTP 503)":                                                                                   s3Error(503, "SlowDown"),
		"put object k: the object store is not available: backendError (HTTP 503): words":                                                                        gcsReason(503, "backendError"),
		"put object k: the object store is not available: connection reset by peer":                                                                              syscall.ECONNRESET,
		"put object k: the object store refuses it: " + doCertificate + "; http://x: x509: certificate signed by unknown authority":                              sent(x509.UnknownAuthorityError{}),
		"put object k: the object store refuses it: SomethingNew (HTTP 400): " + doRequest:                                                                       s3Error(400, "SomethingNew"),
		"put object k: the object store refuses it: HTTP 418: " + doRequest + "; the store says: " + strings.Repeat("x", messageBytes) + "...":                   gcsError(418, strings.Repeat("x", 5000)),
	} {
		got := mapped(context.Background(), "put", "k", err)
		if got.Error() != want || !errors.Is(got, err) {
			t.Errorf("got  %v\nwant %s", got, want)
		}
	}
}

func TestPausesAreDrawnBelowADoublingBound(t *testing.T) {
	b := &backoff{attempts: 8, first: 100 * time.Millisecond, last: time.Second, metrics: newMetrics(prometheus.NewRegistry())}
	for i, want := range []int64{100, 200, 400, 800, 1000, 1000} {
		bound := b.bound(i + 1)
		if bound.Milliseconds() != want {
			t.Errorf("attempt %d: bound %s", i+1, bound)
		}
		low, high := time.Hour, time.Duration(0)
		for range 1000 {
			p := b.pause(i + 1)
			low, high = min(low, p), max(high, p)
		}
		if low < 1 || high > bound || low > bound/10 || high < bound*9/10 {
			t.Errorf("attempt %d: pauses from %s to %s are not spread over the whole range up to %s", i+1, low, high, bound)
		}
	}
}

// Every outcome of a request is a label value that the metric has from the start.
func TestOutcomesAreListed(t *testing.T) {
	errs := []error{nil, context.Canceled, context.DeadlineExceeded, errStalled, errors.New("reset")}
	for status := range 600 {
		for _, err := range errs {
			if name, _ := tell(err, status); !slices.Contains(outcomes[:], name) {
				t.Errorf("status %d, %v: %q is not listed", status, err, name)
			}
		}
	}
}
