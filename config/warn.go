package config

import "fmt"

// Warnings says, by key, what works and is hardly meant.
func (c Broker) Warnings() (all []string) {
	if cache, upload := c.Cache.Write.SizeBytes, c.WAL.Upload.SizeBytes; cache < upload {
		all = append(all, fmt.Sprintf("cache.write_cache_size_bytes (%d) is below wal.upload_size_bytes (%d): uploads read the WAL from disk, which makes them slower, at the expense of producers; raise the one or lower the other",
			cache, upload))
	}
	return all
}
