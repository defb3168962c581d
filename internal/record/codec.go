package record

// Codec is the compression of a batch's records.
type Codec int16

// The codecs of the protocol.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String returns the name that topic configs use.
func (c Codec) String() string {
	if c < None || c > Zstd {
		return "unknown"
	}
	return codecNames[c]
}
