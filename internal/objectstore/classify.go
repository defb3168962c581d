package objectstore

import (
	"context"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"syscall"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"
)

// class is what can be done about an error.
type class int

const (
	classUnknown  class = iota // not from the store: a local file, the body, a bug
	classRetry                 // may succeed later
	classThrottle              // may succeed later; the store wants fewer requests
	classRefused               // will not succeed until somebody changes something
	classMissing               // the key does not exist
	classTaken                 // the key exists already, or the upload is over
	classShort                 // the object ends before what was asked for
	classGivenUp               // the caller no longer wants it
)

// retryable reports whether the same request may succeed later.
func (c class) retryable() bool { return c == classRetry || c == classThrottle }

// byStatus is the meaning of HTTP statuses.
func byStatus(status int) class {
	switch {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
		return classThrottle
	case status == http.StatusNotImplemented:
		return classRefused
	case status >= 500, status == http.StatusRequestTimeout, status == http.StatusConflict:
		return classRetry
	case status == http.StatusNotFound:
		return classMissing
	case status == http.StatusPreconditionFailed:
		return classTaken
	case status == http.StatusRequestedRangeNotSatisfiable:
		return classShort
	case status >= 300:
		return classRefused
	}
	return classUnknown
}

// verdict is the meaning of an error.
type verdict struct {
	class  class
	status int    // HTTP status; 0 without a response
	code   string // the store's own; may be empty
}

// ambiguous reports whether the failed upload may nevertheless have succeeded:
// the key exists, or there was no response, or the upload no longer exists (GCS
// returns 404 for that).
func (v verdict) ambiguous() bool {
	return v.class == classTaken || v.class == classMissing || v.class.retryable() && v.status == 0
}

// classify returns the meaning of err, from any of the SDKs.
func classify(err error) verdict {
	if status, code, ok := answer(err); ok {
		if m, known := codes[code]; known {
			return verdict{m.class, status, code}
		}
		return verdict{byStatus(status), status, code}
	}
	switch {
	case err == nil:
		return verdict{}
	case errors.Is(err, errStalled), errors.Is(err, errSpent):
		return verdict{class: classRetry}
	case errors.Is(err, errShort):
		return verdict{class: classShort}
	case errors.Is(err, context.Canceled):
		return verdict{class: classGivenUp}
	case errors.Is(err, fs.ErrExist):
		return verdict{class: classTaken}
	case untrusted(err):
		return verdict{class: classRefused, code: certificateCode}
	case broken(err):
		return verdict{class: classRetry}
	}
	switch gcerrors.Code(err) { // file:// and mem://
	case gcerrors.FailedPrecondition, gcerrors.AlreadyExists:
		return verdict{class: classTaken}
	case gcerrors.NotFound:
		return verdict{class: classMissing}
	}
	return verdict{}
}

// answer extracts the store's response from an SDK's error.
func answer(err error) (status int, code string, ok bool) {
	var s3 *awshttp.ResponseError
	var api smithy.APIError
	var azure *azcore.ResponseError
	var gcs *googleapi.Error
	switch {
	case errors.As(err, &azure):
		return azure.StatusCode, azure.ErrorCode, true
	case errors.Is(err, storage.ErrBucketNotExist), errors.As(err, &gcs) && gcs.Code == http.StatusNotFound && strings.Contains(gcs.Message, "bucket does not exist"):
		return http.StatusNotFound, "NoSuchBucket", true
	case errors.As(err, &gcs):
		if len(gcs.Errors) > 0 {
			code = gcs.Errors[0].Reason
		}
		return gcs.Code, code, true
	case errors.Is(err, storage.ErrObjectNotExist):
		return http.StatusNotFound, "NoSuchKey", true
	}
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	if errors.As(err, &s3) && s3.HTTPStatusCode() != 0 { // 0 without a response
		return s3.HTTPStatusCode(), code, true
	}
	return 0, "", false
}

// broken reports whether there was no complete response, as opposed to a negative
// one.
func broken(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	var timeout net.Error
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE) ||
		errors.As(err, &dns) || errors.As(err, &op) || errors.As(err, &timeout) && timeout.Timeout() ||
		strings.Contains(err.Error(), "server closed idle connection") || strings.Contains(err.Error(), "http2: ")
}

func untrusted(err error) bool {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	return errors.As(err, &authority) || errors.As(err, &host) || errors.As(err, &invalid)
}
