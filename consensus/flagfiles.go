package consensus

import (
	"bytes"
	"crypto/md5" //nolint:gosec // dragonboat's checksum
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Files in which dragonboat notes under what settings a directory was made, and a
// name of the node that is not used here. It makes those that are missing, writes
// them in place, and panics over one that a crash has left half.
const (
	statusFile = "dragonboat.ds"
	nameFile   = "NODEHOST.ID"
)

// dropFlagFiles removes what would keep a directory from being opened and is made
// again. The logs are compared with the guard, whatever these files say.
func dropFlagFiles(directory string, log *slog.Logger) error {
	for _, name := range []string{statusFile, nameFile} {
		path := filepath.Join(directory, name)
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if wholeFlagFile(b) {
			continue
		}
		log.Warn("a file of the metadata is damaged; it has nothing that is not known otherwise, and is made again", "file", path)
		if err := errors.Join(os.Remove(path), syncDirectory(directory)); err != nil {
			return err
		}
	}
	return nil
}

// wholeFlagFile reports whether a file is a checksum and what it is of.
func wholeFlagFile(b []byte) bool {
	const sumBytes = 8
	if len(b) < sumBytes {
		return false
	}
	sum := md5.Sum(b[sumBytes:]) //nolint:gosec // dragonboat's checksum
	return bytes.Equal(b[:sumBytes], sum[sumBytes:])
}
