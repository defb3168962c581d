package objectstore

import (
	"context"
	"errors"
	"io"
)

// List calls visit with the key and size of each object. Stores may omit recent
// objects and include deleted ones: no decision may be based on it.
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
