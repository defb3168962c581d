package objectfetch

// Busy returns how many requests read ahead.
func (f *Fetcher) Busy() int {
	f.ahead.mu.Lock()
	defer f.ahead.mu.Unlock()
	return f.ahead.busy
}
