//go:build stores

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The object store's key is rotated: the store refuses the old one, then the credentials file gets the
// new one. Uploads and reads continue without a restart of the broker.
func TestAKeyThatIsRotatedInS3(t *testing.T) {
	gateway, file := os.Getenv("SLUICE_VERSITYGW"), filepath.Join(t.TempDir(), "credentials")
	if gateway == "" {
		t.Fatal("SLUICE_VERSITYGW does not name the versitygw binary; `make stores` builds it and sets it")
	}
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_REGION": "us-east-1",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": file} {
		t.Setenv(k, v)
	}
	write := func(id, secret string) {
		t.Helper()
		text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", id, secret)
		if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	at, objects := freePort(t), t.TempDir()
	write("first", "of-no-value")
	stop := startGateway(t, gateway, at, objects, "first", "of-no-value")
	defer func() { stop() }()
	client := s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + at), UsePathStyle: true,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "first", SecretAccessKey: "of-no-value"}, nil
		})})
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil {
		t.Fatal(err)
	}
	dir, addr, admin := t.TempDir(), freePort(t), freePort(t)
	b := role(t, "broker", fmt.Sprintf(`
[broker]
data_directory = %q
[network]
quic_listen = %q
tcp_listen = %q
[object_storage]
url = "s3://%s?endpoint=http://%s&use_path_style=true"
[admin]
listen = %q
`, dir, addr, addr, bucket, at, admin), admin)
	b.dir, b.addr = dir, addr
	b.history("t", 2, 500)

	cl := b.client(kgo.DefaultProduceTopic("t"))
	for i, key := range []struct{ id, secret string }{
		{"the-second", "of-no-value-either"},
		{"the-second", "another-secret-of-the-same-key"},
	} {
		stop()
		stop = startGateway(t, gateway, at, objects, key.id, key.secret)
		failed := b.metric("sluice_upload_failures_total")
		if err := cl.ProduceSync(deadline(t), kgo.StringRecord("after")).FirstErr(); err != nil { // in the WAL
			t.Fatal(err)
		}
		until(t, b, "the old key is refused", 30*time.Second, func() bool { return b.metric("sluice_upload_failures_total") > failed })
		write(key.id, key.secret)
		until(t, b, "uploads go on", 60*time.Second, func() bool { return b.metric("sluice_upload_pending_bytes") == 0 })
		if n := strings.Count(b.log.String(), "credentials of the object store have changed"); n != i+1 {
			t.Errorf("%d changes of the key are logged, want %d", n, i+1)
		}
	}
	consume(t, b.client(kgo.ConsumeTopics("t"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())), 502)
	b.stop()
}
