package consensus

import "github.com/lni/vfs"

// OnDisk returns a config whose Raft logs use another file system.
func OnDisk(cfg Config, fs vfs.FS) Config {
	cfg.fs = fs
	return cfg
}
