package objectstore

import (
	"context"
	"errors"
	"io"
)

// List calls visit with the key and size of each object. Stores may leave out what was
// written not long ago, and have what was deleted: nothing may be decided by it.
func (s *Store) List(ctx context.Context, visit func(key string, size int64) error) error {
	for it := s.bucket.List(nil); ; {
		o, err := it.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return s.mappedRead(ctx, "list", "*", err)
		}
		if o.IsDir {
			continue
		}
		if err := visit(o.Key, o.Size); err != nil {
			return err
		}
	}
}
