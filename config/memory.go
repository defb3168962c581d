package config

import (
	"fmt"

	"github.com/sluicemq/sluice/internal/memory"
	"github.com/sluicemq/sluice/internal/setting"
)

// MemoryLimit returns the most bytes that a broker of these settings charges to u.
func (c Broker) MemoryLimit(u memory.Use) int64 {
	if u == memory.Uploads {
		return c.UploadMemory() * int64(c.ObjectStorage.Upload.Concurrency)
	}
	for f := range setting.Fields(c) {
		if f.Key == u.Setting {
			return f.Whole()
		}
	}
	panic(fmt.Sprintf("config: no setting %q limits %s", u.Setting, u.Name))
}

// UploadMemory is what the upload of one object takes: the window of what is not cached,
// what is on its way to a local disk, and the parts that are under way where it goes in
// parts.
func (c Broker) UploadMemory() int64 {
	const buffers = 6 << 20
	s := c.ObjectStorage.Store
	if c.WAL.Upload.SizeBytes <= s.MultipartThresholdBytes {
		return buffers
	}
	return buffers + s.PartBytes*int64(s.PartConcurrency)
}

// fits checks that everything together is within the memory of the process.
func (c Broker) fits() error {
	sum := int64(0)
	for _, u := range memory.Uses() {
		// One that is out of its bounds has been reported, and must not make the sum small.
		sum += min(max(c.MemoryLimit(u), 0), 1<<50)
	}
	return memory.Fit(sum, c.Memory.LimitBytes)
}
