package consensus

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

// witness is a second guard, that lies with what depends on the metadata: what is given up
// there since the metadata has it is lost if that is put back from an older copy, together with
// its guard. It is written before something is given up, not with each change.
type witness struct {
	path string
	log  *slog.Logger

	mu   sync.Mutex
	file *guard.File
}

// marks returns what the witness knows, nothing where there is none. A damaged one knows
// nothing and is made anew: it is there for the case that two others have gone back.
func (w *witness) marks() (map[guard.Replica]guard.Mark, error) {
	if w.path == "" {
		return nil, nil
	}
	f, err := guard.Open(w.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case errors.Is(err, guard.ErrDamaged):
		w.log.Error("what says, beside the WAL, how far the metadata had got is damaged, and is made anew", "file", w.path, "err", err)
		return nil, w.forget()
	case err != nil:
		return nil, err
	}
	w.file = f
	return f.Marks(), nil
}

// forget removes what the witness knows.
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

// attest has the witness know the marks of g, durably. They are taken in turn, so that it
// never goes back. A file that could not be written is made anew by the next call.
func (w *witness) attest(g *guard.File) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.path == "" {
		return nil
	}
	if w.file == nil {
		f, err := guard.Create(w.path)
		if err != nil {
			return fmt.Errorf("make the witness of the metadata: %w", err)
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

// Attest returns when the witness knows how far the logs have got by now. Call it before
// something is given up since the metadata has it.
func (c *Cluster) Attest() error { return c.host.witness.attest(c.host.guard) }
