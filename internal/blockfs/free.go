package blockfs

// FreeBytes returns what the disk that holds path has left for users.
func FreeBytes(path string) (int64, error) { return freeSpace(path) }

// TotalBytes returns how large the disk that holds path is, 0 where it does not say.
func TotalBytes(path string) (int64, error) { return totalSpace(path) }

// FreeBytes returns what the disk of the directory has left.
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
