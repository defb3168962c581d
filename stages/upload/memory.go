package upload

// Memory returns the bytes that objects take which are on their way, and may take.
func (u *Uploader) Memory() (used, limit int64) {
	return u.active.Load() * u.Config().ObjectMemory, int64(u.Config().Concurrency) * u.Config().ObjectMemory
}
