package objectstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	gcaws "gocloud.dev/aws"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"
)

// openS3 opens s3://bucket, with the URL parameters that gocloud documents.
// gocloud's URL opener accepts neither an HTTP client nor a retryer, so the
// client is created here; the rest of the aws.Config is still gocloud's.
func (s *Store) openS3(ctx context.Context, u *url.URL, client *http.Client, retryer aws.Retryer) (*blob.Bucket, error) {
	q := u.Query()
	var opts s3blob.Options
	if v := take(q, "ssetype"); v != "" {
		known := types.ServerSideEncryption("").Values()
		i := slices.IndexFunc(known, func(k types.ServerSideEncryption) bool { return strings.EqualFold(string(k), v) })
		if i < 0 {
			return nil, fmt.Errorf("ssetype is %q: it must be one of %v", v, known)
		}
		opts.EncryptionType = known[i]
	}
	opts.KMSEncryptionID = take(q, "kmskeyid")
	accelerate, err := takeBool(q, "accelerate")
	if err != nil {
		return nil, err
	}
	pathStyle, err := takeBool(q, "use_path_style")
	if err != nil {
		return nil, err
	}
	cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
	if err != nil {
		return nil, err
	}
	if cfg.Region == "" {
		if q.Get("endpoint") == "" {
			return nil, fmt.Errorf("no region is set; add ?region=... to the URL or set AWS_REGION")
		}
		cfg.Region = "us-east-1" // stores without regions expect this in signatures
	}
	cfg.Credentials = s3Credentials(cfg.Credentials, q, s.log)
	opts.RequestChecksumCalculation = cfg.RequestChecksumCalculation
	s3client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.HTTPClient = client
		o.Retryer = retryer
		o.HTTPSignerV4 = new(s3Signer)
		o.UsePathStyle = pathStyle
		o.UseAccelerate = accelerate
		// Ranges have no checksum of their own; an object's blocks do.
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	s.one = s3OnePut(s3client, u.Host, &opts)
	return s3blob.OpenBucket(ctx, s3client, u.Host, &opts)
}

// s3Credentials reloads the files that the SDK reads credentials from only once.
// Whether other credentials apply, such as those of the environment, is decided
// by the SDK each time.
func s3Credentials(first aws.CredentialsProvider, q url.Values, log *slog.Logger) aws.CredentialsProvider {
	if first == nil || aws.IsCredentialsProvider(first, aws.AnonymousCredentials{}) {
		return first
	}
	files := []string{or(os.Getenv("AWS_SHARED_CREDENTIALS_FILE"), config.DefaultSharedCredentialsFilename()),
		or(os.Getenv("AWS_CONFIG_FILE"), config.DefaultSharedConfigFilename())}
	f := newCredentials(files, first, func(ctx context.Context) (aws.CredentialsProvider, error) {
		cfg, err := gcaws.V2ConfigFromURLParams(ctx, q)
		if err != nil {
			return nil, err
		}
		_, err = cfg.Credentials.Retrieve(ctx)
		return cfg.Credentials, err
	}, log)
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) { return f.get(ctx).Retrieve(ctx) })
}

// or returns s, or other if s is empty.
func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// s3OnePut uses PutObject, which gocloud uses only for what fits into its memory.
// Over TLS a checksum follows the contents. Without TLS the SDK reads them once
// for the checksum and again to send them; signing them too would take a third
// pass.
func s3OnePut(client *s3.Client, bucket string, opts *s3blob.Options) onePut {
	return func(ctx context.Context, key string, body *rewinder) error {
		in := &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: body, ContentLength: &body.size, IfNoneMatch: aws.String("*"),
			ContentType: aws.String(contentType), ServerSideEncryption: opts.EncryptionType}
		if opts.KMSEncryptionID != "" {
			in.SSEKMSKeyId = &opts.KMSEncryptionID
		}
		_, err := client.PutObject(ctx, in, s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
		return err
	}
}

// take removes a parameter and returns its value.
func take(q url.Values, key string) string {
	v := q.Get(key)
	q.Del(key)
	return v
}

func takeBool(q url.Values, key string) (bool, error) {
	v := take(q, key)
	if v == "" {
		return false, nil
	}
	b, err := strconv.ParseBool(v)
	if err != nil {
		return false, fmt.Errorf("%s is %q: it must be true or false", key, v)
	}
	return b, nil
}
