package memory

import "github.com/sluicemq/sluice/internal/setting"

// Config has the limit of the process, and those of uses that span several parts.
type Config struct {
	// Memory limit of the process. Settings whose sum, plus 112 MiB for the process itself,
	// exceeds it are refused, and so are changes at run time. 0: not checked.
	LimitBytes int64 `toml:"limit_bytes" default:"0" range:"0.."`
	// Budget for connections and QUIC streams, each counted at its idle size (TCP 12 KiB, TLS
	// 40 KiB, QUIC 48 KiB, a stream 16 KiB), and for data QUIC clients have sent that is not
	// read yet. Beyond it new ones are refused; for a client address that holds more than a
	// quarter, beyond three quarters of it.
	ConnectionBytes int64 `toml:"connection_bytes" default:"64Mi" range:"1Mi.."`
	// Budget for request frames in the broker. When it is used up, sockets are not read and
	// producers wait. A sixteenth is reserved for requests other than produce.
	RequestBudgetBytes int64 `toml:"request_budget_bytes" default:"128Mi" range:"1.."`
	// Budget for records in responses that are being sent. Beyond it fetches wait their turn.
	ResponseBudgetBytes int64 `toml:"response_budget_bytes" default:"80Mi" range:"1.."`
	// Budget for data on its way into the WAL, and for data that readers still hold after it
	// left the write cache. It must hold the largest request; see network.max_request_bytes.
	// A write that combines several requests uses at most four tenths of it, whatever
	// stages.batch.max_bytes says.
	WALBufferBytes int64 `toml:"wal_buffer_bytes" default:"80Mi" range:"4Mi.."`
	// Index of the batches in the WAL: 24 bytes per 64 KiB of contiguous data of a partition,
	// or per batch when there are many partitions with small batches. When it is half full
	// uploads start early; when it is full producers wait for them.
	TailIndexBytes int64 `toml:"tail_index_bytes" default:"48Mi" range:"4Mi.."`
}

// Validate reports settings that cannot work.
func (c Config) Validate() error { return setting.Check(c) }
