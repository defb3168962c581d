package objectwrite

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// pieces returns a function that writes all, with writes of at most most bytes.
func pieces(all []byte, most int) func(io.Writer) error {
	return func(w io.Writer) error {
		for len(all) > 0 {
			n := min(len(all), 1+rand.N(most))
			if m, err := w.Write(all[:n]); m != n || err != nil {
				return errors.Join(err, io.ErrShortWrite)
			}
			all = all[n:]
		}
		return nil
	}
}

func TestReadReturnsWhatWasWritten(t *testing.T) {
	all := make([]byte, 100_003)
	for i := range all {
		all[i] = byte(rand.Uint32())
	}
	for _, most := range []int{1, 170, 4096, 70_000, 200_000} {
		for _, size := range []int{1, 7, 4096, 1 << 20} {
			r := contents(pieces(all, most))
			var got bytes.Buffer
			if _, err := io.CopyBuffer(struct{ io.Writer }{&got}, r, make([]byte, size)); err != nil || !bytes.Equal(got.Bytes(), all) {
				t.Errorf("writes of up to %d bytes, reads of %d: %d bytes, %v", most, size, got.Len(), err)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	if err := iotest.TestReader(contents(pieces(all, 5000)), all); err != nil {
		t.Error(err)
	}
}

// TestReadFillsItsBuffer: a Read fills its buffer, except at the end.
func TestReadFillsItsBuffer(t *testing.T) {
	r := contents(pieces(make([]byte, 2500), 10))
	defer r.Close()
	p := make([]byte, 1000)
	for _, want := range []int{1000, 1000, 500} {
		if n, err := r.Read(p); n != want || err != nil {
			t.Errorf("%d bytes, %v; want %d", n, err, want)
		}
	}
	if n, err := r.Read(p); n != 0 || err != io.EOF { //nolint:errorlint // it is io.EOF itself
		t.Errorf("%d bytes, %v after the end", n, err)
	}
}

func TestFailureFollowsWhatWasWritten(t *testing.T) {
	boom := errors.New("boom")
	r := contents(func(w io.Writer) error {
		_, err := w.Write(make([]byte, 10))
		return errors.Join(err, boom)
	})
	defer r.Close()
	for range 2 {
		n, err := io.Copy(io.Discard, r)
		if !errors.Is(err, boom) {
			t.Errorf("%d bytes, %v", n, err)
		}
	}
}

// TestCloseEndsBoth closes while a Read waits for a slow writer, and while a writer waits
// for a Read: both return, and nothing is written into the buffer of a Read that returned.
func TestCloseEndsBoth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		goOn, wrote := make(chan struct{}), make(chan error, 1)
		r := contents(func(w io.Writer) error {
			_, err := w.Write(make([]byte, 10))
			<-goOn
			_, late := w.Write([]byte("late"))
			wrote <- late
			return errors.Join(err, late)
		})
		p, read := bytes.Repeat([]byte{'x'}, 100), make(chan int, 1)
		go func() { n, _ := r.Read(p); read <- n }()
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- r.Close() }()
		synctest.Wait()
		select {
		case <-closed:
			t.Error("Close returned during a write")
		default:
		}
		close(goOn)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if n, err := <-read, <-wrote; n != 10 || err == nil || !bytes.Equal(p[10:], bytes.Repeat([]byte{'x'}, 90)) {
			t.Errorf("%d bytes, then %v, %q", n, err, p[10:])
		}
		if n, err := r.Read(p); n != 0 || err == nil {
			t.Errorf("%d bytes, %v after Close", n, err)
		}

		r = contents(func(w io.Writer) error { _, err := w.Write([]byte("nobody reads")); return err })
		synctest.Wait()
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
}
