package upload

import "time"

// TestedConfig returns the default config, with the fields that a broker derives from other settings
// filled in.
func TestedConfig() Config {
	c := DefaultConfig()
	c.ObjectMemory, c.ProducerExpiration, c.SectionBytes = 6<<20, 24*time.Hour, 5<<19
	return c
}
