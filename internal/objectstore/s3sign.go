package objectstore

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// s3Signer signs requests with the SDK's signer, which keeps what it derives from a secret
// for a day and tells secrets apart by the id of the key alone. A key whose secret is
// replaced and whose id stays, as MinIO and others have it, gets another signer.
type s3Signer struct {
	mu     sync.Mutex
	key    aws.Credentials
	signer *v4.Signer
}

// SignHTTP implements s3.HTTPSignerV4.
func (s *s3Signer) SignHTTP(ctx context.Context, key aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.of(key).SignHTTP(ctx, key, r, payloadHash, service, region, at, opts...)
}

func (s *s3Signer) of(key aws.Credentials) *v4.Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.signer == nil || s.key.AccessKeyID != key.AccessKeyID || s.key.SecretAccessKey != key.SecretAccessKey {
		s.key = key
		// Keys of objects are escaped once in S3, other than in all other services.
		s.signer = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	}
	return s.signer
}
