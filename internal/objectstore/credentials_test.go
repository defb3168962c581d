package objectstore

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A changed file takes effect at the next check. Unusable contents are logged once, and the
// credentials in use stay.
func TestCredentialsFollowTheirFiles(t *testing.T) {
	name := filepath.Join(t.TempDir(), "credentials")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("one")
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		reads := 0
		f := newCredentials([]string{name, name + ".none"}, "one", func(context.Context) (string, error) {
			reads++
			b, err := os.ReadFile(name)
			if string(b) == "bad" {
				err = errors.New("no key")
			}
			return string(b), err
		}, slog.New(slog.NewTextHandler(&said, nil)))
		want := func(value string, n int) {
			t.Helper()
			if got := f.get(t.Context()); got != value || reads != n {
				t.Errorf("got %q after %d reads, want %q after %d", got, reads, value, n)
			}
		}
		time.Sleep(2 * lookEvery)
		want("one", 0) // unchanged
		put("three")
		want("one", 0) // checked just now
		time.Sleep(lookEvery)
		want("three", 1)
		time.Sleep(lookEvery)
		want("three", 1)
		put("bad")
		for n := range 3 { // retried, logged once
			time.Sleep(lookEvery)
			want("three", 2+n)
		}
		if n := strings.Count(said.String(), "cannot be used"); n != 1 {
			t.Errorf("logged %d times: %s", n, said.String())
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(lookEvery)
		want("three", 4) // no other source of credentials is tried meanwhile
		put("twelve")
		time.Sleep(lookEvery)
		want("twelve", 5)
	})
}

func TestS3CredentialsFollowTheirFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "credentials")
	for k, v := range map[string]string{"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true",
		"AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": name, "AWS_PROFILE": ""} {
		t.Setenv(k, v)
	}
	put := func(id string) {
		t.Helper()
		text := fmt.Sprintf("[default]\naws_access_key_id = other\naws_secret_access_key = other\n[sluice]\naws_access_key_id = %s\naws_secret_access_key = of-no-value\n", id)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("first")
	first := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{AccessKeyID: "first"}, nil })
	p := s3Credentials(first, url.Values{"profile": {"sluice"}, "region": {"us-east-1"}}, slog.New(slog.DiscardHandler))
	put("the-second")
	until := time.Now().Add(20 * time.Second)
	for {
		c, err := p.Retrieve(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.AccessKeyID == "the-second" {
			break
		}
		if c.AccessKeyID != "first" || time.Now().After(until) {
			t.Fatalf("key %s", c.AccessKeyID)
		}
		<-time.After(50 * time.Millisecond)
	}
	anonymous := aws.AnonymousCredentials{}
	if got := s3Credentials(anonymous, nil, nil); got != aws.CredentialsProvider(anonymous) {
		t.Errorf("%T is signed with", got)
	}
}

// A replaced secret signs requests from then on, even if the id of its key stays the same.
func TestReplacedSecretSigns(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	sign := func(s s3.HTTPSignerV4, secret string) string {
		t.Helper()
		r := httptest.NewRequest(http.MethodHead, "https://bucket.example.org/owner/a%20b", nil)
		if err := s.SignHTTP(t.Context(), aws.Credentials{AccessKeyID: "key", SecretAccessKey: secret}, r, "UNSIGNED-PAYLOAD", "s3", "us-east-1", at); err != nil {
			t.Fatal(err)
		}
		return r.Header.Get("Authorization")
	}
	signer := new(s3Signer)
	for _, secret := range []string{"first", "second", "first"} {
		fresh := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
		if got, want := sign(signer, secret), sign(fresh, secret); got != want {
			t.Errorf("with the secret %s: %s, want %s", secret, got, want)
		}
	}
}

// After a service account's key is replaced, the next token request uses the new key.
func TestGCSCredentialsFollowTheirFile(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = r.ParseForm()
		w.Header().Set("Content-Type", "application/json")
		// The second part of the assertion names the account.
		fmt.Fprintf(w, `{"access_token":%q,"token_type":"Bearer","expires_in":3600}`, strings.Split(r.Form.Get("assertion"), ".")[1])
	}))
	defer server.Close()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "account.json")
	t.Setenv("GOOGLE_APPLICATION_CREDENTIALS", name)
	put := func(account string) {
		t.Helper()
		b, err := json.Marshal(map[string]string{"type": "service_account", "client_email": account, "private_key_id": account, "token_uri": server.URL,
			"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("first@example.org")
	sent := make(chan string, 1)
	rt, err := gcsAuth(t.Context(), "", roundTrip(func(r *http.Request) (*http.Response, error) {
		sent <- r.Header.Get("Authorization")
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	}), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://store.example.org", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := rt.RoundTrip(req); err != nil { //nolint:bodyclose // it has none
			t.Fatal(err)
		}
		return <-sent
	}
	before := ask()
	put("the-second@example.org")
	for until := time.Now().Add(20 * time.Second); ask() == before; <-time.After(50 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("the new key is not used")
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
