package upload

import "time"

// TestedConfig returns the defaults, and for what follows from the settings of others what it is
// in a broker.
func TestedConfig() Config {
	c := DefaultConfig()
	c.ObjectMemory, c.ProducerExpiration, c.SectionBytes = 6<<20, 24*time.Hour, 5<<19
	return c
}
