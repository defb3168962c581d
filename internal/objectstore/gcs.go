package objectstore

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

const gcsScope = "https://www.googleapis.com/auth/devstorage.read_write"

// openGCS opens gs://bucket over the JSON API.
func openGCS(ctx context.Context, u *url.URL, t *transport, b *backoff, log *slog.Logger) (*blob.Bucket, error) {
	q := u.Query()
	endpoint := take(q, "endpoint")
	if host := os.Getenv("STORAGE_EMULATOR_HOST"); endpoint == "" && host != "" {
		endpoint = "http://" + host + "/storage/v1/"
	}
	anonymous, err := takeBool(q, "anonymous")
	if err != nil {
		return nil, err
	}
	universe := take(q, "universe_domain")
	for key := range q {
		return nil, fmt.Errorf("unknown parameter %q; anonymous, endpoint and universe_domain are known", key)
	}
	client := t.client()
	opts := []option.ClientOption{option.WithHTTPClient(client), storage.WithJSONReads()}
	if endpoint != "" {
		opts = append(opts, option.WithEndpoint(endpoint))
	}
	if universe != "" {
		opts = append(opts, option.WithUniverseDomain(universe))
	}
	if !anonymous {
		if client.Transport, err = gcsAuth(ctx, universe, t, log); err != nil {
			return nil, err
		}
	}
	gcs, err := storage.NewClient(ctx, opts...)
	if err != nil {
		return nil, err
	}
	gcs.SetRetry(b.gcsRetry()...)
	return gcsblob.OpenBucket(ctx, nil, u.Host, &gcsblob.Options{Client: gcs})
}

// gcsAuth adds a token of the application default credentials to each request.
func gcsAuth(ctx context.Context, universe string, base http.RoundTripper, log *slog.Logger) (http.RoundTripper, error) {
	find := func(ctx context.Context) (*google.Credentials, error) {
		return google.FindDefaultCredentialsWithParams(ctx, google.CredentialsParams{Scopes: []string{gcsScope}, UniverseDomain: universe})
	}
	creds, err := find(ctx)
	if err != nil {
		return nil, fmt.Errorf("no Google credentials; set GOOGLE_APPLICATION_CREDENTIALS, or add ?anonymous=true to the URL: %w", err)
	}
	file := os.Getenv("GOOGLE_APPLICATION_CREDENTIALS")
	if file == "" {
		return &oauth2.Transport{Base: base, Source: creds.TokenSource}, nil
	}
	f := newCredentials([]string{file}, creds.TokenSource, func(ctx context.Context) (oauth2.TokenSource, error) {
		creds, err := find(context.WithoutCancel(ctx)) // the credentials keep using it
		if err != nil {
			return nil, err
		}
		_, err = creds.TokenSource.Token()
		return creds.TokenSource, err
	}, log)
	return &oauth2.Transport{Base: base, Source: tokens{f}}, nil
}

// tokens follows the file of GOOGLE_APPLICATION_CREDENTIALS, which Google's
// library reads only once.
type tokens struct {
	*credentials[oauth2.TokenSource]
}

// Token implements oauth2.TokenSource.
func (f tokens) Token() (*oauth2.Token, error) { return f.get(context.Background()).Token() }
