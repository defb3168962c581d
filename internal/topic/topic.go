package topic

import (
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/sluicemq/sluice/internal/fault"
)

// MaxNameLength is the longest topic name Kafka allows, in bytes.
const MaxNameLength = 249

// ClusterMetadata is the name under which Kafka has its metadata.
const ClusterMetadata = "__cluster_metadata"

// Reserved reports whether name is that of a topic which Kafka makes for itself. Here what
// is in them is in the metadata, so that nobody makes them.
func Reserved(name string) bool {
	switch name {
	case ClusterMetadata, "__consumer_offsets", "__transaction_state", "__share_group_state":
		return true
	}
	return false
}

// ErrInvalidName is returned for a name outside [A-Za-z0-9._-]{1,249}, or "."
// or "..".
var ErrInvalidName = fault.Refused(kerr.InvalidTopicException, "invalid topic name")

// ID is a topic's UUID (KIP-516). The zero ID means "no topic".
type ID [16]byte

// NewID returns a random (version 4) ID.
func NewID() ID { return ID(uuid.New()) }

// String returns 32 lower-case hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id names no topic.
func (id ID) IsZero() bool { return id == ID{} }

// Partition names one partition of one topic. It is comparable and serves as a
// map key.
type Partition struct {
	Topic ID
	Index int32
}

// String returns "<id>/<index>".
func (p Partition) String() string { return p.Topic.String() + "/" + strconv.Itoa(int(p.Index)) }

// Hash spreads partitions over lanes and shards. It is stable within one
// process only; do not store it.
func (p Partition) Hash() uint64 {
	h := uint64(uint32(p.Index))*0x9E3779B97F4A7C15 ^ le64(p.Topic[:8]) ^ le64(p.Topic[8:])
	h ^= h >> 29
	h *= 0xBF58476D1CE4E5B9
	return h ^ h>>32
}

func le64(b []byte) uint64 {
	_ = b[7]
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 |
		uint64(b[4])<<32 | uint64(b[5])<<40 | uint64(b[6])<<48 | uint64(b[7])<<56
}

// ValidateName checks name against Kafka's rule: 1 to 249 of [A-Za-z0-9._-],
// and neither "." nor "..".
func ValidateName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: it is empty", ErrInvalidName)
	case name == "." || name == "..":
		return fmt.Errorf("%w: %q is reserved", ErrInvalidName, name)
	case len(name) > MaxNameLength:
		return fmt.Errorf("%w: %d bytes, at most %d are allowed", ErrInvalidName, len(name), MaxNameLength)
	}
	for i := range len(name) {
		if c := name[i]; !legal(c) {
			return fmt.Errorf("%w: byte %q at %d; use letters, digits, '.', '_' and '-'", ErrInvalidName, c, i)
		}
	}
	return nil
}

func legal(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-'
}
