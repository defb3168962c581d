package objectfetch

// Busy returns the number of read-ahead requests in flight.
func (f *Fetcher) Busy() int {
	f.ahead.mu.Lock()
	defer f.ahead.mu.Unlock()
	return f.ahead.busy
}
