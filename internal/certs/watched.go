package certs

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

const (
	// lookEvery is the minimum time between checks of the files.
	lookEvery = time.Second
	// warnBefore is how long before a certificate expires the log starts to warn, once every
	// warnEvery.
	warnBefore = 14 * 24 * time.Hour
	warnEvery  = 24 * time.Hour
)

// Values of Status.Use.
const (
	UseServer   = "server"    // the server's certificate and key
	UseClientCA = "client_ca" // the CAs of client certificates
	UseInternal = "internal"  // a node's internal certificate and its key, and the internal CAs
)

// watched loads contents of files again when these have changed. Its methods are safe for
// concurrent use.
type watched struct {
	log *slog.Logger
	now func() time.Time

	mu      sync.Mutex
	looked  time.Time
	sources []*source // and what their load functions write
}

// loadAll loads the contents for the first time.
func (w *watched) loadAll() error {
	w.looked = w.now()
	for _, src := range w.sources {
		src.used = stat(src.files)
		var err error
		if src.ends, err = src.load(); err != nil {
			return err
		}
	}
	return nil
}

// Watch checks the files until ctx is done, so that problems are reported without a handshake.
func (w *watched) Watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			w.mu.Lock()
			w.look()
			w.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// Reload loads the current contents of the files and returns an error for those that cannot be
// used; the last good ones stay in use. It logs the error every time, since the reload was
// requested explicitly.
func (w *watched) Reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.looked = w.now()
	w.lookNow(true)
	var errs []error
	for _, src := range w.sources {
		if src.rejected.err != nil {
			errs = append(errs, src.rejected.err)
		}
	}
	return errors.Join(errs...)
}

// look checks the files, unless that was done less than lookEvery ago.
func (w *watched) look() {
	if now := w.now(); now.Sub(w.looked) >= lookEvery {
		w.looked = now
		w.lookNow(false)
	}
}

func (w *watched) lookNow(atOnce bool) {
	for _, src := range w.sources {
		switch src.look(atOnce) {
		case took:
			w.log.Info("TLS files were replaced; new handshakes use them", "use", src.use, "files", src.names(), "ends", src.ends.Format(time.RFC3339))
		case rejects:
			w.log.Error("TLS files were changed and cannot be used; what was in them before stays in use until they are right",
				"use", src.use, "files", src.names(), "err", src.rejected.err)
		case nothing:
		}
	}
	w.warn()
}

// warn logs which certificates expire soon.
func (w *watched) warn() {
	now := w.now()
	for _, src := range w.sources {
		if src.ends.Sub(now) > warnBefore || now.Sub(src.warned) < warnEvery {
			continue
		}
		src.warned = now
		level := slog.LevelWarn
		if now.After(src.ends) {
			level = slog.LevelError
		}
		w.log.Log(context.Background(), level, "a TLS certificate "+left(src.ends, now)+"; renew it (sluice cert renew, or whoever issues yours), no restart is needed",
			"use", src.use, "file", src.files[0], "ends", src.ends.Format(time.RFC3339))
	}
}

// Status is the state of one set of files.
type Status struct {
	Use  string // UseServer, UseClientCA or UseInternal
	File string // of the certificate or certificates
	// Ends is when the first certificate in use expires, including its chain.
	Ends time.Time
	// Rejected is why the current contents of the files are not in use, or nil if they are.
	Rejected error
	// Taken and Failed count changes of the files that were put in use, and those that could not
	// be.
	Taken, Failed int64
}

// Status returns the state of the files.
func (w *watched) Status() []Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look()
	all := make([]Status, len(w.sources))
	for i, src := range w.sources {
		all[i] = Status{Use: src.use, File: src.files[0], Ends: src.ends, Rejected: src.rejected.err, Taken: src.taken, Failed: src.failed}
	}
	return all
}
