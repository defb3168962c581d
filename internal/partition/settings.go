package partition

import (
	"github.com/sluicemq/sluice/internal/topic"
)

// SettingsOf extracts the write path's settings from a topic's configs. Unset configs
// have their defaults.
func SettingsOf(configs map[string]string) Settings {
	v := topic.Values(configs)
	return Settings{
		MaxMessageBytes:   int32(v.Int(topic.MaxMessageBytes)),
		MaxRecordBytes:    int32(v.Int(topic.MaxDecompressedBytes)),
		LogAppendTime:     v.Get(topic.TimestampType) == topic.LogAppendTime,
		Compacted:         v.Has(topic.CleanupPolicy, topic.CleanupCompact),
		TimestampBeforeMs: v.Int(topic.TimestampBeforeMaxMs),
		TimestampAfterMs:  v.Int(topic.TimestampAfterMaxMs),
	}
}
