package objectfetch

// Busy returns the number of read-ahead requests in flight.
func (f *Fetcher) Busy() int {
	f.follower.mu.Lock()
	defer f.follower.mu.Unlock()
	return f.follower.busy
}
