package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

var (
	// ErrExists: an object with this key exists, with other contents.
	ErrExists = errors.New("object exists")
	// ErrNotFound: no object has this key.
	ErrNotFound = fault.Lost(kerr.KafkaStorageError, "object not found")
	// ErrShort: the object ends before the requested range.
	ErrShort = fault.Lost(kerr.KafkaStorageError, "object is truncated")
	// ErrRefused: the store will not do this until somebody changes something; the
	// message says what. Retrying does not help.
	ErrRefused = fault.Refused(kerr.KafkaStorageError, "the object store refuses it")
	// ErrUnavailable: all attempts have failed. Retrying later may help.
	ErrUnavailable = fault.Transient(kerr.KafkaStorageError, "the object store is not available")
	// errStalled: a request transferred no byte for too long.
	errStalled = errors.New("no data transferred for too long")
)

// mapped is err as returned to callers.
func mapped(ctx context.Context, what, key string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s object %s: %w", what, key, context.Cause(ctx))
	}
	v := classify(err)
	switch v.class {
	case classTaken:
		return fmt.Errorf("%s object %s: %w", what, key, ErrExists)
	case classMissing:
		return fmt.Errorf("%s object %s: %w", what, key, ErrNotFound)
	case classShort:
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrShort, &storeError{v, err, ""})
	case classRefused:
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrRefused, &storeError{v, err, advice(v)})
	case classRetry, classThrottle:
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrUnavailable, &storeError{v, err, ""})
	case classGivenUp, classUnknown:
	}
	if v.status == 0 {
		err = &storeError{v, err, ""}
	}
	return fmt.Errorf("%s object %s: %w", what, key, err)
}

// mappedRead is mapped for reads. A directory's errors say little: if it does not
// exist at all, as when it is not mounted, its objects do not count as missing,
// and any other error is transient or needs an operator.
func (s *Store) mappedRead(ctx context.Context, what, key string, err error) error {
	if s.dir == "" || ctx.Err() != nil {
		return mapped(ctx, what, key, err)
	}
	switch class := classify(err).class; {
	case class == classMissing && !isDirectory(s.dir):
		return fmt.Errorf("%s object %s: %w: directory %s does not exist", what, key, ErrUnavailable, s.dir)
	case class == classUnknown && errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrRefused, err)
	case class == classUnknown:
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrUnavailable, err)
	}
	return mapped(ctx, what, key, err)
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
