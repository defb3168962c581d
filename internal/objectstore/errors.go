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
	// ErrExists: an object with this key is there already, with other contents.
	ErrExists = errors.New("object exists")
	// ErrNotFound: there is no object with this key.
	ErrNotFound = fault.Lost(kerr.KafkaStorageError, "object not found")
	// ErrShort: the object ends before what was asked for.
	ErrShort = fault.Lost(kerr.KafkaStorageError, "object is cut short")
	// ErrRefused: the store will not do this until somebody changes something; the
	// message says what. Trying again does not help.
	ErrRefused = fault.Refused(kerr.KafkaStorageError, "the object store refuses it")
	// ErrUnavailable: the store was asked as often as the config says and could not
	// do it. Trying again later helps.
	ErrUnavailable = fault.Transient(kerr.KafkaStorageError, "the object store is not available")
	// errStalled: a request moved no byte for too long.
	errStalled = errors.New("no byte moved for too long")
)

// mapped is err as callers learn of it.
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
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrShort, &told{v, err, ""})
	case classRefused:
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrRefused, &told{v, err, advice(v)})
	case classRetry, classThrottle:
		return fmt.Errorf("%s object %s: %w: %w", what, key, ErrUnavailable, &told{v, err, ""})
	case classGivenUp, classUnknown:
	}
	if v.status == 0 {
		err = &told{v, err, ""}
	}
	return fmt.Errorf("%s object %s: %w", what, key, err)
}

// mappedRead is mapped for what only reads. A directory says little: where it is not
// there at all, as when it was not mounted, none of its objects is missing, and
// whatever else the system says passes or is for somebody to change.
func (s *Store) mappedRead(ctx context.Context, what, key string, err error) error {
	if s.dir == "" || ctx.Err() != nil {
		return mapped(ctx, what, key, err)
	}
	switch class := classify(err).class; {
	case class == classMissing && !isDirectory(s.dir):
		return fmt.Errorf("%s object %s: %w: there is no directory %s", what, key, ErrUnavailable, s.dir)
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
