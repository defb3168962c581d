package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// adopt makes a directory usable that was written under another host name. Dragonboat keeps its
// logs in a folder named after the host and refuses the directory of another one, but a
// container has a new name at every start. A node is identified by its directory. The status
// file goes first, since dragonboat recreates it if missing; so after a crash here the next
// start adopts what is left.
func adopt(directory, hostname string) error {
	entries, err := os.ReadDir(directory)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var other []string
	for _, e := range entries {
		if e.IsDir() && e.Name() == hostname {
			return nil
		}
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") { // names with a dot are ours
			other = append(other, e.Name())
		}
	}
	switch len(other) {
	case 0:
		return nil
	case 1:
	default:
		return fmt.Errorf("%s has metadata of several hosts, %q; move away those that are not this node's", directory, other)
	}
	if err := os.Remove(filepath.Join(directory, statusFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := syncDirectory(directory); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(directory, other[0]), filepath.Join(directory, hostname)); err != nil {
		return err
	}
	return syncDirectory(directory)
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
