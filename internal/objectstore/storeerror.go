package objectstore

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"google.golang.org/api/googleapi"
)

// storeError is the store's response on one line, starting with the store's own error
// code, which its documentation and support use. The SDKs' errors are verbose.
type storeError struct {
	verdict
	err    error
	advice string // what to do; may be empty
}

func (t *storeError) Unwrap() error { return t.err }

func (t *storeError) Error() string {
	if t.status == 0 {
		return joined(t.advice, "; ", unanswered(t.err))
	}
	message, request := details(t.err)
	where := joined(fmt.Sprintf("HTTP %d", t.status), ", request ", request)
	name := where
	if t.code != "" {
		name = fmt.Sprintf("%s (%s)", t.code, where)
	}
	between := ": "
	if t.advice != "" {
		between = "; the store says: "
	}
	return joined(joined(name, ": ", t.advice), between, message)
}

// unanswered names the server that did not respond, and why. The SDKs say more,
// above all the URL, which contains the secret if access is by a token.
func unanswered(err error) string {
	text := err.Error()
	_, why, noCredentials := strings.Cut(text, "get credentials: ")
	if noCredentials {
		text = "get credentials: " + why
	}
	var sent *url.Error
	if !errors.As(err, &sent) {
		return text
	}
	server := "the server"
	if at, err := url.Parse(sent.URL); err == nil {
		server = at.Scheme + "://" + at.Host
	}
	if noCredentials { // the server was asked for these
		return strings.ReplaceAll(text, sent.URL, server)
	}
	return fmt.Sprintf("%s: %v", server, sent.Err)
}

// joined joins two texts if neither is empty.
func joined(a, between, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + between + b
}

// messageBytes bounds the store's message, which may be a page of HTML.
const messageBytes = 300

// details extracts the store's message and the request ID from an SDK's error.
func details(err error) (message, request string) {
	var s3 *awshttp.ResponseError
	var api smithy.APIError
	var azure *azcore.ResponseError
	var gcs *googleapi.Error
	if errors.As(err, &api) {
		message = api.ErrorMessage()
	}
	switch {
	case errors.As(err, &s3):
		request = s3.ServiceRequestID()
	case errors.As(err, &azure) && azure.RawResponse != nil:
		request = azure.RawResponse.Header.Get("X-Ms-Request-Id")
	case errors.As(err, &gcs):
		message = gcs.Message
		if message == "" {
			message = gcs.Body
		}
	}
	message = strings.Join(strings.Fields(message), " ")
	if len(message) > messageBytes {
		message = strings.ToValidUTF8(message[:messageBytes], "") + "..."
	}
	return message, request
}
