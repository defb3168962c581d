package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/objectstore"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	for _, url := range []string{"mem://", "file://" + dir} {
		t.Run(url[:4], func(t *testing.T) {
			ctx := context.Background()
			s, err := objectstore.Open(ctx, url)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			const key = "3f/3f00-x.seg"
			if err := s.Put(ctx, key, strings.NewReader("0123456789")); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(ctx, key, strings.NewReader("other")); !errors.Is(err, objectstore.ErrExists) {
				t.Fatalf("second put: %v", err)
			}
			if n, err := s.Size(ctx, key); err != nil || n != 10 {
				t.Fatalf("size %d, %v", n, err)
			}
			if err := s.Put(ctx, key, strings.NewReader("0123456789")); err != nil {
				t.Fatalf("same contents again: %v", err)
			}
			broken := errors.New("broken")
			if err := s.Put(ctx, "4a/cut", io.MultiReader(strings.NewReader("0123"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
				t.Fatalf("a body that ends early: %v", err)
			}
			if _, err := s.Size(ctx, "4a/cut"); !errors.Is(err, objectstore.ErrNotFound) {
				t.Fatalf("a body that ends early left an object: %v", err)
			}
			if err := s.Check(ctx); err != nil {
				t.Fatal(err)
			}
			b, err := s.Object(key).ReadRange(ctx, 3, 4)
			if err != nil || !bytes.Equal(b, []byte("3456")) {
				t.Fatalf("range %q, %v", b, err)
			}
			if _, err := s.Object(key).ReadRange(ctx, 8, 4); err == nil {
				t.Fatal("a range past the end was read")
			}
			for range 2 {
				if err := s.Delete(ctx, key); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := s.Object(key).ReadRange(ctx, 0, 1); !errors.Is(err, objectstore.ErrNotFound) {
				t.Fatalf("deleted object: %v", err)
			}
		})
	}
	var left []string
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, _ error) error {
		if !d.IsDir() {
			left = append(left, p)
		}
		return nil
	})
	if len(left) > 0 {
		t.Fatalf("files left behind: %v", left)
	}
}

func TestOpenRefuses(t *testing.T) {
	for _, url := range []string{"", "ftp://x", "::", "s3://", "gs://", "azblob://", "s3://b?endpoint=http://127.0.0.1:1&no_such=1", "s3://b?use_path_style=perhaps", "gs://b?no_such=1", "file:///proc/none/x"} {
		if s, err := objectstore.Open(context.Background(), url); err == nil {
			s.Close()
			t.Errorf("%q was opened", url)
		}
	}
}

// A store on an almost full disk refuses new objects, and keeps those it has.
func TestFileStoreLeavesFreeSpace(t *testing.T) {
	dir := t.TempDir()
	cfg := objectstore.DefaultConfig()
	cfg.MinFreeBytes = 1 << 60
	s, err := objectstore.Open(t.Context(), "file://"+dir, objectstore.WithConfig(cfg))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Put(t.Context(), "k", strings.NewReader("x"))
	if !errors.Is(err, blockfs.ErrNoSpace) || !errors.Is(err, objectstore.ErrUnavailable) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Size(t.Context(), "k"); !errors.Is(err, objectstore.ErrNotFound) {
		t.Errorf("a refused put left an object: %v", err)
	}
}

// Of many concurrent Puts of one key with different contents exactly one wins, and its
// contents are stored.
func TestOnePutOfAKeyWins(t *testing.T) {
	s, err := objectstore.Open(t.Context(), "file://"+t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for round := range 50 {
		key := "k" + string(rune('A'+round))
		won := make(chan string, 16)
		var wg sync.WaitGroup
		for i := range 16 {
			content := strings.Repeat(string(rune('a'+i)), 1000)
			wg.Go(func() {
				switch err := s.Put(t.Context(), key, strings.NewReader(content)); {
				case err == nil:
					won <- content
				case !errors.Is(err, objectstore.ErrExists):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		close(won)
		if len(won) != 1 {
			t.Fatalf("%d puts won", len(won))
		}
		if b, err := s.Object(key).ReadRange(t.Context(), 0, 1000); err != nil || string(b) != <-won {
			t.Fatalf("the stored contents are not the winner's: %v", err)
		}
	}
}

// TestContentsOfKnownSizeAreHashedOnlyIfNeeded puts the same contents under a key twice, as
// after a lost response, and then different contents.
func TestContentsOfKnownSizeAreHashedOnlyIfNeeded(t *testing.T) {
	const size = 9<<20 + 5
	for _, url := range []string{"file://" + t.TempDir(), "mem://"} {
		s, err := objectstore.Open(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		opened := 0
		put := func(last byte) error {
			content := append(bytes.Repeat([]byte("abcde"), size/5), last)
			return s.PutSized(t.Context(), "key", int64(len(content)), func() io.ReadCloser {
				opened++
				return io.NopCloser(bytes.NewReader(content))
			})
		}
		if err := put('x'); err != nil || opened != 1 {
			t.Errorf("%s: %v, read %d times", url, err, opened)
		}
		if err := put('x'); err != nil || opened != 3 {
			t.Errorf("%s: same contents again: %v, read %d times in total", url, err, opened)
		}
		if err := put('y'); !errors.Is(err, objectstore.ErrExists) {
			t.Errorf("%s: different contents of the same size: %v", url, err)
		}
	}
}
