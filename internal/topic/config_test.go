package topic

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestConfigTableIsSortedAndItsDefaultsAreValid(t *testing.T) {
	all := Configs()
	if !slices.IsSortedFunc(all, func(a, b Config) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the table is not sorted by name")
	}
	for _, c := range all {
		if normal, err := c.Normalize(c.Default); err != nil || normal != c.Default {
			t.Errorf("default of %s: %v, and its normal form is %q", c.Name, err, normal)
		}
		if c.Doc == "" {
			t.Errorf("%s lacks its documentation", c.Name)
		}
		if c.Inert && !strings.HasPrefix(c.Doc, "Accepted without effect") {
			t.Errorf("%s is inert but its documentation does not say so: %s", c.Name, c.Doc)
		}
	}
}

func TestConfigsAreAcceptedOrRefusedWithAReason(t *testing.T) {
	tests := []struct {
		name, value string
		want        error
		says        string
	}{
		{RetentionMs, "-1", nil, ""},
		{RetentionMs, "9223372036854775807", nil, ""},
		{RetentionMs, "-2", ErrInvalidConfig, "from -1"},
		{RetentionMs, "\u00a05", ErrInvalidConfig, "whole number"},
		{RetentionMs, "1_000", ErrInvalidConfig, "whole number"},
		{RetentionMs, "1 000", ErrInvalidConfig, "whole number"},
		{RetentionBytes, "-2", nil, ""},
		{LocalRetentionMs, "9223372036854775807", nil, ""},
		{LocalRetentionMs, "-3", ErrInvalidConfig, "from -2"},
		{RetentionMs, "7d", ErrInvalidConfig, "whole number"},
		{RetentionMs, "", ErrInvalidConfig, "whole number"},
		{CleanupPolicy, "compact", nil, ""},
		{CleanupPolicy, "compact, delete", nil, ""},
		{CleanupPolicy, "compact,compact", nil, ""},
		{CleanupPolicy, "", nil, ""},
		{CleanupPolicy, ",", ErrInvalidConfig, "delete or compact"},
		{CleanupPolicy, "compact,", ErrInvalidConfig, "delete or compact"},
		{CleanupPolicy, "DELETE", ErrInvalidConfig, "delete or compact"},
		{CleanupPolicy, "shred", ErrInvalidConfig, "delete or compact"},
		{"compression.type", "producer", nil, ""},
		{"compression.type", "zstd", ErrInvalidConfig, "in the producer"},
		{MinInsyncReplicas, "0", ErrInvalidConfig, "from 1"},
		{MaxMessageBytes, "2147483648", ErrInvalidConfig, "2147483647"},
		{MinCleanableRatio, "0.5", nil, ""},
		{MinCleanableRatio, "1.5", ErrInvalidConfig, "0 to 1"},
		{MinCleanableRatio, "NaN", nil, ""},
		{MinCleanableRatio, "nan", ErrInvalidConfig, "0 to 1"},
		{MinCleanableRatio, "Infinity", ErrInvalidConfig, "0 to 1"},
		{MinCleanableRatio, "1e400", ErrInvalidConfig, "0 to 1"},
		{MinCleanableRatio, "0x1", ErrInvalidConfig, "0 to 1"},
		{MinCleanableRatio, ".e1", ErrInvalidConfig, "0 to 1"},
		{TimestampType, "LogAppendTime", nil, ""},
		{TimestampType, "logappendtime", ErrInvalidConfig, "CreateTime or LogAppendTime"},
		{"preallocate", "yes", ErrInvalidConfig, "true or false"},
		{"preallocate", "", ErrInvalidConfig, "true or false"},
		{"unclean.leader.election.enable", "true", nil, ""},
		{"compression.gzip.level", "0", ErrInvalidConfig, "-1 or 1"},
		{"compression.gzip.level", "00", ErrInvalidConfig, "-1 or 1"},
		{"errors.deadletterqueue.group.enable", "true", nil, ""},
		{"follower.replication.throttled.replicas", "none", ErrInvalidConfig, "partition:broker"},
		{"follower.replication.throttled.replicas", "0:1,*", ErrInvalidConfig, "partition:broker"},
		{"leader.replication.throttled.replicas", "0:-1", ErrInvalidConfig, "partition:broker"},
		{"max.decompressed.message.bytes", "0", ErrInvalidConfig, "from 1"},
		{"max.decompressed.message.bytes", "2147483640", ErrInvalidConfig, "2147483639"},
		{"remote.copy.lag.bytes", "-2", ErrInvalidConfig, "from -1"},
		{"remote.copy.lag.ms", "-1", nil, ""},
		{"remote.log.copy.disable", "yes", ErrInvalidConfig, "true or false"},
		{"remote.log.delete.on.disable", "TRUE", nil, ""},
		{"remote.storage.enable", "false", ErrInvalidConfig, "object storage"},
		{"segment.bytes", "1048576", nil, ""},
		{"segment.bytes", "1048575", ErrInvalidConfig, "from 1048576"},
		{"retention.hours", "1", ErrUnknownConfig, "retention."},
		{"max.message.byte", "1", ErrUnknownConfig, MaxMessageBytes},
		{"retention.mss", "1", ErrUnknownConfig, "; the nearest is retention.ms"},
		{"cleanup", "delete", ErrUnknownConfig, "; the nearest is cleanup.policy"},
		{strings.Repeat("x", 1<<16), "1", ErrUnknownConfig, "x\""},
	}
	for _, tt := range tests {
		_, err := NormalizeConfigs(map[string]string{tt.name: tt.value})
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.40s=%s: got %v, want %v with %q", tt.name, tt.value, err, tt.want, tt.says)
		}
	}
}

// The expected normal forms were printed by Kafka's own parser.
func TestConfigsAreKeptInTheirNormalForm(t *testing.T) {
	const replicas = "leader.replication.throttled.replicas"
	for _, tt := range []struct{ name, value, want string }{
		{RetentionMs, " 1000 ", "1000"}, {RetentionMs, "+5", "5"}, {RetentionMs, "-0", "0"}, {RetentionMs, "\x015\n", "5"},
		{MinInsyncReplicas, " 02 ", "2"}, {RetentionBytes, "-9223372036854775808", "-9223372036854775808"},
		{"preallocate", " tRuE\n", "true"}, {"preallocate", "False", "false"}, {"remote.storage.enable", "TRUE", "true"},
		{TimestampType, " CreateTime ", "CreateTime"}, {"compression.type", " producer ", "producer"},
		{CleanupPolicy, " ", ""}, {CleanupPolicy, " compact ,\tdelete ", "compact,delete"}, {CleanupPolicy, "delete,delete", "delete"},
		{CleanupPolicy, "compact,delete,compact", "compact,delete"},
		{replicas, "", ""}, {replicas, "*", "*"}, {replicas, "*,", "*,"}, {replicas, ",", ","}, {replicas, "0:1,", "0:1,"},
		{replicas, "0:1,0:1", "0:1,0:1"}, {replicas, " 0:1 , 1:2", "0:1,1:2"}, {replicas, "99999999999999999999:1", "99999999999999999999:1"},
		{MinCleanableRatio, ".5", "0.5"}, {MinCleanableRatio, "5e-1", "0.5"}, {MinCleanableRatio, "0.5f", "0.5"}, {MinCleanableRatio, "0.5D", "0.5"},
		{MinCleanableRatio, "0", "0.0"}, {MinCleanableRatio, "1.", "1.0"}, {MinCleanableRatio, "-0.0", "-0.0"}, {MinCleanableRatio, "-NaN", "NaN"},
		{MinCleanableRatio, "0x1p-1", "0.5"}, {MinCleanableRatio, "0x.8p0f", "0.5"}, {MinCleanableRatio, "0.001", "0.001"},
		{MinCleanableRatio, "0.0001", "1.0E-4"}, {MinCleanableRatio, "1e-10", "1.0E-10"}, {MinCleanableRatio, "1e-400", "0.0"},
		{MinCleanableRatio, "0.30000000000000004", "0.30000000000000004"}, {MinCleanableRatio, "0.00012345", "1.2345E-4"},
	} {
		got, err := NormalizeConfigs(map[string]string{tt.name: tt.value})
		if err != nil || got[tt.name] != tt.want {
			t.Errorf("%s=%q: got %q, %v; want %q", tt.name, tt.value, got[tt.name], err, tt.want)
		}
	}
}

func TestConfigsThatBoundOneAnother(t *testing.T) {
	if _, err := NormalizeConfigs(map[string]string{MinCompactionLagMs: " 10", MaxCompactionLagMs: "9"}); !errors.Is(err, ErrInvalidConfig) {
		t.Errorf("a shortest lag above the longest: got %v", err)
	}
	for _, set := range []map[string]string{
		{RetentionMs: "1000", LocalRetentionMs: "1001"}, // fine, since there are no local segments of a topic
		{RetentionBytes: "1000", LocalRetentionBytes: "1001"},
		{"segment.ms": "1000", "segment.jitter.ms": "2000"},
	} {
		if _, err := NormalizeConfigs(set); err != nil {
			t.Errorf("%v: %v", set, err)
		}
	}
}

func TestValuesFallBackToDefaults(t *testing.T) {
	v := Values{RetentionMs: "60000", CleanupPolicy: "compact,delete", MinCleanableRatio: "0.1", "preallocate": "true",
		MaxMessageBytes: "nonsense"}
	if got := v.Int(RetentionMs); got != 60000 {
		t.Errorf("retention.ms: %d", got)
	}
	if got := v.Int(MaxMessageBytes); got != 1048588 {
		t.Errorf("max.message.bytes with an unreadable value: %d", got)
	}
	if got := Values(nil).Int(MaxCompactionLagMs); got != math.MaxInt64 {
		t.Errorf("default of max.compaction.lag.ms: %d", got)
	}
	if !v.Has(CleanupPolicy, CleanupCompact) || Values(nil).Has(CleanupPolicy, CleanupCompact) {
		t.Error("cleanup.policy")
	}
	if v := (Values{CleanupPolicy: ""}); v.Has(CleanupPolicy, CleanupDelete) || v.Has(CleanupPolicy, CleanupCompact) {
		t.Error("an empty cleanup.policy is neither")
	}
	if v.Float(MinCleanableRatio) != 0.1 || !v.Bool("preallocate") || v.Get(TimestampType) != CreateTime {
		t.Error("float, boolean or string")
	}
}

func TestReadingAConfigAsTheWrongTypePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Values(nil).Int(CleanupPolicy)
}

func FuzzNormalizeConfig(f *testing.F) {
	for _, c := range Configs() {
		f.Add(c.Name, c.Default)
	}
	f.Add(CleanupPolicy, ",,compact , delete,")
	f.Add(MinCleanableRatio, " 0x.8p0f")
	f.Add("follower.replication.throttled.replicas", "0:1,")
	f.Add("no.such", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		normal, err := NormalizeConfigs(map[string]string{name: value})
		if err != nil {
			if !errors.Is(err, ErrInvalidConfig) && !errors.Is(err, ErrUnknownConfig) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		if again, err := NormalizeConfigs(normal); err != nil || again[name] != normal[name] {
			t.Fatalf("%s=%q becomes %q, and that %q (%v)", name, value, normal[name], again[name], err)
		}
		v, c := Values(normal), mustLookup(name)
		switch c.Kind { // a validated value can be read
		case Int, Long:
			if n := v.Int(name); n < c.min || n > c.max {
				t.Fatalf("%s=%q reads as %d", name, value, n)
			}
		case Boolean:
			v.Bool(name)
		case Double:
			v.Float(name)
		}
	})
}

// The size of a value is limited, since it is sent to every client that describes the topic. Errors
// repeat only a little of it.
func TestConfigsAreBounded(t *testing.T) {
	const name = "leader.replication.throttled.replicas"
	long := strings.Repeat("1:2,", maxValueBytes/4-1) + "1:2"
	if got, err := NormalizeConfigs(map[string]string{name: long}); err != nil || got[name] != long {
		t.Errorf("%d bytes: %v", len(long), err)
	}
	for _, c := range []struct{ name, value string }{{name, long + ",1"}, {"retention.ms", strings.Repeat(" ", 1<<20) + "1"}, {"retention.ms", strings.Repeat("x", 60_000)}} {
		if _, err := NormalizeConfigs(map[string]string{c.name: c.value}); !errors.Is(err, ErrInvalidConfig) || len(err.Error()) > 512 {
			t.Errorf("%s of %d bytes: %.600v", c.name, len(c.value), err)
		}
	}
}

// The error for a name without a similar one does not suggest an unrelated name.
func TestNothingIsNear(t *testing.T) {
	for _, name := range []string{"nosuch", "x", "", "replication.quota.window"} {
		if _, err := LookupConfig(name); !errors.Is(err, ErrUnknownConfig) || strings.Contains(err.Error(), "nearest") {
			t.Errorf("%q: %v", name, err)
		}
	}
}
