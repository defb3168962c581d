//go:build !linux

package raftfs

import "errors"

func allocate(uintptr, int64, int64) error { return errors.ErrUnsupported }
