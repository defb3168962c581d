//go:build unix

package certs

import (
	"fmt"
	"os"
	"syscall"
)

// giveTo gives a file the owner, group and mode of another.
func giveTo(path string, like os.FileInfo) error {
	want, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if is, ok := info.Sys().(*syscall.Stat_t); ok && is.Uid == want.Uid && is.Gid == want.Gid {
		return nil
	}
	if err := os.Lchown(path, int(want.Uid), int(want.Gid)); err != nil {
		return fmt.Errorf("give it the owner of the old one: %w", err)
	}
	return os.Chmod(path, like.Mode().Perm()) // chown may clear mode bits
}
