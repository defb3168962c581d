package quorum

import (
	"bytes"
	"crypto/md5" //nolint:gosec // dragonboat's checksum
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
)

// Files in which dragonboat records the settings of a directory, and a node name that we do not
// use. It creates missing ones, writes them in place, and panics on one that a crash left
// half-written.
const (
	statusFile = "dragonboat.ds"
	nameFile   = "NODEHOST.ID"
)

// dropFlagFiles removes damaged flag files, which would keep the directory from being opened;
// dragonboat recreates them. The logs are compared with the guard in any case.
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
		log.Warn("a metadata flag file is damaged; recreating it, since it holds nothing that is not known otherwise", "file", path)
		if err := errors.Join(os.Remove(path), syncDirectory(directory)); err != nil {
			return err
		}
	}
	return nil
}

// wholeFlagFile reports whether a file is a checksum followed by matching content.
func wholeFlagFile(b []byte) bool {
	const sumBytes = 8
	if len(b) < sumBytes {
		return false
	}
	sum := md5.Sum(b[sumBytes:]) //nolint:gosec // dragonboat's checksum
	return bytes.Equal(b[:sumBytes], sum[sumBytes:])
}
