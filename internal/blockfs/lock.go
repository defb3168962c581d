package blockfs

// Lock locks the existing directory at path for this process until release is
// called or the process ends. Errors wrap ErrLocked, ErrReadOnly, ErrNoSpace or
// those of package os.
func Lock(path string) (release func() error, err error) {
	d := &Dir{path: path}
	if err := d.takeLock(); err != nil {
		return nil, err
	}
	return d.lock.Close, nil
}
