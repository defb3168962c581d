package upload

// Memory returns the bytes used by objects being written, and their limit.
func (u *Uploader) Memory() (used, limit int64) {
	return u.active.Load() * u.Config().ObjectMemory, int64(u.Config().Concurrency) * u.Config().ObjectMemory
}
