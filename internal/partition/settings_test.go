package partition

import (
	"testing"

	"github.com/sluicemq/sluice/internal/topic"
)

func TestSettingsOfTopicConfigs(t *testing.T) {
	if got := SettingsOf(nil); got != DefaultSettings() {
		t.Errorf("without configs: got %+v, want the defaults %+v", got, DefaultSettings())
	}
	got := SettingsOf(map[string]string{topic.MaxMessageBytes: "10", topic.MaxDecompressedBytes: "7", topic.TimestampType: topic.LogAppendTime,
		topic.CleanupPolicy: "delete,compact", topic.TimestampBeforeMaxMs: "1", topic.TimestampAfterMaxMs: "2"})
	want := Settings{MaxMessageBytes: 10, MaxRecordBytes: 7, LogAppendTime: true, Compacted: true, TimestampBeforeMs: 1, TimestampAfterMs: 2}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
