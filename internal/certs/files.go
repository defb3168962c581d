package certs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// file is a file to write.
type file struct {
	path string
	mode os.FileMode
	text []byte
}

// saver writes files in order. Each appears complete and synced, or not at all.
type saver func(...file) error

// replace writes files, replacing existing ones.
func replace(files ...file) error {
	return save(files, func(file) error { return nil }, os.Rename)
}

// replaceAlike is replace for files whose owner or mode someone may have changed: it keeps both. It
// follows symbolic links and replaces the file they point to.
func replaceAlike(files ...file) error {
	for i := range files {
		path, err := filepath.EvalSymlinks(files[i].path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		files[i].path, files[i].mode = path, info.Mode().Perm()
	}
	return save(files, func(f file) error {
		info, err := os.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return giveTo(temporary(f.path), info)
	}, os.Rename)
}

// create writes files that must not exist. If any does, none is written.
func create(files ...file) error {
	for _, f := range files {
		if _, err := os.Lstat(f.path); err == nil {
			return exists(f.path)
		}
	}
	var made []string
	err := save(files, func(file) error { return nil }, func(from, to string) error {
		err := os.Link(from, to) // unlike a rename, fails if to exists
		if errors.Is(err, fs.ErrExist) {
			return exists(to)
		}
		if err != nil { // a file system without hard links
			err = os.Rename(from, to)
		}
		if err == nil {
			made = append(made, to)
		}
		return err
	})
	if err != nil {
		for _, path := range made {
			os.Remove(path)
		}
	}
	return err
}

func exists(path string) error {
	return fmt.Errorf("%s exists; remove it or choose another name", path)
}

func temporary(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".new")
}

// save writes all files under temporary names, then calls put for each to give it its final name,
// so that little time passes between the renames.
func save(files []file, prepare func(file) error, put func(from, to string) error) (err error) {
	defer func() {
		for _, f := range files {
			os.Remove(temporary(f.path))
		}
	}()
	for _, f := range files {
		if err := errors.Join(writeSynced(temporary(f.path), f), prepare(f)); err != nil {
			return fmt.Errorf("write %s: %w; make its directory writable or choose another", f.path, err)
		}
	}
	for _, f := range files {
		if err := put(temporary(f.path), f.path); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	for _, f := range files {
		if err := syncDirectory(filepath.Dir(f.path)); err != nil {
			return fmt.Errorf("write %s: %w", f.path, err)
		}
	}
	return nil
}

// writeSynced writes a new file. It replaces one left behind by a crash.
func writeSynced(path string, f file) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(f.text)
	return errors.Join(err, w.Chmod(f.mode), w.Sync(), w.Close())
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
