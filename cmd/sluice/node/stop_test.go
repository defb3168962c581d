package node

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Something that ignores its context is named and left behind at the deadline; later steps
// still get a moment, and know that files may be in use.
func TestAStopLeavesBehindWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		s := newStopping(4*time.Second, slog.New(slog.NewTextHandler(&said, nil)))
		began, forever := time.Now(), make(chan struct{})
		defer close(forever)
		s.without("quick", func() {})
		if s.behind || said.Len() > 0 {
			t.Errorf("behind after nothing: %s", said.String())
		}
		s.without("uploads", func() { <-forever })
		if took := time.Since(began); took != 4*time.Second || !s.behind || !strings.Contains(said.String(), "uploads") {
			t.Errorf("after %s: %s", took, said.String())
		}
		if err := s.wait("the WAL", func() error { <-forever; return nil }); !errors.Is(err, errHangs) || !strings.Contains(err.Error(), "the WAL") {
			t.Errorf("got %v", err)
		}
		if err := s.wait("the metadata", func() error { time.Sleep(leastWait / 2); return errStorage }); !errors.Is(err, errStorage) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took > 6*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}
