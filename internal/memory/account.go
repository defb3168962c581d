package memory

import "sync/atomic"

// Account counts bytes against a limit. [Account.Try] may refuse,
// [Account.Charge] counts unconditionally; the caller decides which of them
// bounds it. A nil Account accepts everything and counts nothing.
type Account struct {
	used, limit atomic.Int64
	freed       chan struct{} // capacity 1
}

// NewAccount returns an empty account of limit bytes.
func NewAccount(limit int64) *Account {
	a := &Account{freed: make(chan struct{}, 1)}
	a.limit.Store(limit)
	return a
}

// Try takes n bytes if they fit.
func (a *Account) Try(n int64) bool {
	if a == nil {
		return true
	}
	for {
		used := a.used.Load()
		if used+n > a.limit.Load() {
			return false
		}
		if a.used.CompareAndSwap(used, used+n) {
			return true
		}
	}
}

// Charge takes n bytes, or releases them if n is negative, whatever the limit.
func (a *Account) Charge(n int64) {
	if a == nil || n == 0 {
		return
	}
	a.used.Add(n)
	if n < 0 {
		select {
		case a.freed <- struct{}{}:
		default:
		}
	}
}

// Refund releases n bytes.
func (a *Account) Refund(n int64) { a.Charge(-n) }

// Freed returns a channel that signals that bytes may have been released since
// the last receive from it.
func (a *Account) Freed() <-chan struct{} {
	if a == nil {
		return nil
	}
	return a.freed
}

// Used returns the bytes in use.
func (a *Account) Used() int64 {
	if a == nil {
		return 0
	}
	return a.used.Load()
}

// Limit returns the limit.
func (a *Account) Limit() int64 {
	if a == nil {
		return 0
	}
	return a.limit.Load()
}

// Resize changes the limit. It revokes nothing.
func (a *Account) Resize(limit int64) {
	if a != nil {
		a.limit.Store(limit)
	}
}
