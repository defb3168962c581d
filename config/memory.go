package config

import (
	"fmt"

	"github.com/sluicemq/sluice/internal/memory"
)

// MemoryLimit returns the most bytes that a broker of these settings charges to u.
func (c Broker) MemoryLimit(u memory.Use) int64 {
	if u == memory.Uploads {
		return c.UploadMemory() * int64(c.ObjectStorage.UploadConcurrency)
	}
	for k := range Keys(c) {
		if k.Name == u.Setting {
			switch n := k.Value.(type) {
			case int64:
				return n
			case int:
				return int64(n)
			}
		}
	}
	panic(fmt.Sprintf("config: no setting %q limits %s", u.Setting, u.Name))
}

// UploadMemory is what the upload of one object takes: the buffer that it is built in, the
// window of what is not cached, what is on its way to a local disk, and the parts that are
// under way where it goes in parts.
func (c Broker) UploadMemory() int64 {
	const buffers = 6 * mib
	o := c.ObjectStorage
	if c.WAL.UploadSizeBytes <= o.MultipartThreshold {
		return buffers
	}
	return buffers + o.PartSizeBytes*int64(o.PartConcurrency)
}

// fits checks that everything together is within the memory of the process.
func (c *checks) fits(b Broker) {
	sum := int64(0)
	for _, u := range memory.Uses() {
		// One that is out of its bounds has been reported, and must not make the sum small.
		sum += min(max(b.MemoryLimit(u), 0), 1<<50)
	}
	if err := memory.Fit(sum, b.Memory.LimitBytes); err != nil {
		*c = append(*c, err)
	}
}
