package certs

import (
	"crypto/tls"
	"os"
	"sync"
	"time"
)

// reloadEvery bounds how often the files are looked at.
const reloadEvery = time.Second

// reloader keeps a certificate and reads it again when its file has changed.
type reloader struct {
	certFile, keyFile string

	mu      sync.Mutex
	cert    *tls.Certificate
	seen    stamp     // of the certificate file that cert was read from
	checked time.Time // when the file was last looked at
}

// stamp tells one state of a file from another.
type stamp struct {
	modified time.Time
	size     int64
}

func newReloader(certFile, keyFile string) (*reloader, error) {
	r := &reloader{certFile: certFile, keyFile: keyFile, checked: time.Now()}
	r.seen, _ = stampOf(certFile)
	var err error
	r.cert, err = keyPair(certFile, keyFile)
	return r, err
}

func stampOf(file string) (stamp, error) {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}, err
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

// current returns the certificate to use now.
func (r *reloader) current() *tls.Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); now.Sub(r.checked) >= reloadEvery {
		r.checked = now
		r.reload()
	}
	return r.cert
}

// reload takes up a new certificate. One whose key does not fit yet, because the
// two are being replaced, is tried again the next time.
func (r *reloader) reload() {
	seen, err := stampOf(r.certFile)
	if err != nil || seen == r.seen {
		return
	}
	if cert, err := keyPair(r.certFile, r.keyFile); err == nil {
		r.cert, r.seen = cert, seen
	}
}
