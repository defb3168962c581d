//go:build stores

package e2e

import (
	"context"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// `object check` accepts a usable bucket and leaves nothing in it. For a missing bucket and for a
// wrong secret key it reports the store's own error code.
func TestObjectCheckInS3(t *testing.T) {
	client, url := startS3(t)
	out, errs, code := alone(t, "object", "check", url)
	if code != 0 || !strings.Contains(out, "works for a broker's objects") {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	left, err := client.ListObjectsV2(context.Background(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil || len(left.Contents) > 0 {
		t.Errorf("left behind: %d objects, %v", len(left.Contents), err)
	}
	missing := strings.Replace(url, "s3://"+bucket, "s3://nowhere", 1)
	if _, errs, code := alone(t, "object", "check", missing); code != 1 || !strings.Contains(errs, "the object store refuses it: NoSuchBucket (HTTP 404") || strings.Count(errs, "\n") != 1 {
		t.Errorf("a bucket that is not there: exit %d: %s", code, errs)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if _, errs, code := alone(t, "object", "check", url); code != 1 || !strings.Contains(errs, "the object store refuses it: SignatureDoesNotMatch (HTTP 403") || !strings.Contains(errs, "correct them") {
		t.Errorf("a wrong key: exit %d: %s", code, errs)
	}
}
