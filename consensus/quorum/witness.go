package quorum

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"

	"github.com/sluicemq/sluice/consensus/guard"
)

// witness is a second guard, stored with the data that depends on the metadata. Data released
// because the metadata refers to it elsewhere is lost if the metadata is restored from an older
// copy, together with its guard. The witness is written before such a release, not with each
// change.
type witness struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *guard.File
}

// marks returns the witness's marks, none if there is no file. A damaged witness has none and
// is recreated: it only matters if the other two files have gone back.
func (w *witness) marks() (map[guard.Replica]guard.Mark, error) {
	if w.path == "" {
		return nil, nil
	}
	f, err := guard.Open(w.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, guard.ErrDamaged):
		w.log.Error("the copy of the metadata guard beside the WAL is damaged; recreating it", "file", w.path, "err", err)
		return nil, w.forget()
	case err != nil:
		return nil, err
	}
	w.file = f
	return f.Marks(), nil
}

// forget removes all marks.
func (w *witness) forget() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" {
		return nil
	}
	if w.file != nil {
		err := w.file.Close()
		w.file = nil
		if err != nil {
			return err
		}
	}
	if err := os.Remove(w.path); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(w.path))
}

// attest durably adds the marks of g to the witness. Calls are serialized, so that it never
// goes back. After a failed write the next call recreates the file.
func (w *witness) attest(g *guard.File) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" {
		return nil
	}
	if w.file == nil {
		f, err := guard.Create(w.path)
		if err != nil {
			return fmt.Errorf("create the witness of the metadata: %w", err)
		}
		w.file = f
	}
	marks := g.Marks()
	if maps.Equal(w.file.Marks(), marks) {
		return nil
	}
	err := w.file.Save(marks)
	if err != nil {
		err = errors.Join(err, w.file.Close())
		w.file = nil
	}
	return err
}

func (w *witness) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	return err
}
