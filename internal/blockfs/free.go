package blockfs

// FreeBytes returns the free bytes, available to users, on the disk that holds
// path.
func FreeBytes(path string) (int64, error) { return freeSpace(path) }

// TotalBytes returns the size of the disk that holds path, 0 if unknown.
func TotalBytes(path string) (int64, error) { return totalSpace(path) }

// FreeBytes returns the free bytes on the disk of the directory.
func (d *Dir) FreeBytes() (int64, error) {
	free, err := freeSpace(d.path)
	if err != nil {
		return 0, d.explain("ask free space of", d.path, err)
	}
	return free, nil
}

// SameDisk reports whether two files or directories lie in one file system.
func SameDisk(a, b string) (bool, error) {
	x, err := device(a)
	if err != nil {
		return false, err
	}
	y, err := device(b)
	return x == y && err == nil, err
}
