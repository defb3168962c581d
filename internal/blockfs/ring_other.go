//go:build !linux

package blockfs

import (
	"errors"
	"fmt"
)

func newRingWriter(*Dir, int) (Writer, error) {
	return nil, fmt.Errorf("%w: io_uring is only available on Linux", errors.ErrUnsupported)
}
