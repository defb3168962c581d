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
		if err := c.Check(c.Default); err != nil {
			t.Errorf("default of %s: %v", c.Name, err)
		}
		if c.Doc == "" || c.Broker == "" {
			t.Errorf("%s lacks its documentation or its broker-wide name", c.Name)
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
		{RetentionMs, "7d", ErrInvalidConfig, "whole number"},
		{RetentionMs, "", ErrInvalidConfig, "whole number"},
		{CleanupPolicy, "compact", nil, ""},
		{CleanupPolicy, "compact, delete", nil, ""},
		{CleanupPolicy, "compact,compact", ErrInvalidConfig, "twice"},
		{CleanupPolicy, "", ErrInvalidConfig, "at least one"},
		{CleanupPolicy, "shred", ErrInvalidConfig, "delete or compact"},
		{"compression.type", "producer", nil, ""},
		{"compression.type", "zstd", ErrInvalidConfig, "in the producer"},
		{MinInsyncReplicas, "0", ErrInvalidConfig, "from 1"},
		{MaxMessageBytes, "2147483648", ErrInvalidConfig, "2147483647"},
		{MinCleanableRatio, "0.5", nil, ""},
		{MinCleanableRatio, "1.5", ErrInvalidConfig, "0 to 1"},
		{MinCleanableRatio, "NaN", ErrInvalidConfig, "0 to 1"},
		{TimestampType, "LogAppendTime", nil, ""},
		{TimestampType, "logappendtime", ErrInvalidConfig, "CreateTime or LogAppendTime"},
		{"preallocate", "yes", ErrInvalidConfig, "true or false"},
		{"unclean.leader.election.enable", "true", ErrInvalidConfig, "acknowledged"},
		{"remote.storage.enable", "false", ErrInvalidConfig, "object storage"},
		{"segment.bytes", "1048576", nil, ""},
		{"retention.hours", "1", ErrUnknownConfig, "retention."},
		{"max.message.byte", "1", ErrUnknownConfig, MaxMessageBytes},
		{strings.Repeat("x", 1<<16), "1", ErrUnknownConfig, "nearest"},
	}
	for _, tt := range tests {
		err := ValidateConfigs(map[string]string{tt.name: tt.value})
		if !errors.Is(err, tt.want) || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%.40s=%s: got %v, want %v with %q", tt.name, tt.value, err, tt.want, tt.says)
		}
	}
}

func TestConfigsThatBoundOneAnother(t *testing.T) {
	bad := []map[string]string{
		{MinCompactionLagMs: "10", MaxCompactionLagMs: "9"},
		{RetentionMs: "1000", LocalRetentionMs: "1001"},
		{RetentionBytes: "1000", LocalRetentionBytes: "1001"},
	}
	for _, set := range bad {
		if err := ValidateConfigs(set); !errors.Is(err, ErrInvalidConfig) {
			t.Errorf("%v: got %v", set, err)
		}
	}
	if err := ValidateConfigs(map[string]string{RetentionMs: "-1", LocalRetentionMs: "1000"}); err != nil {
		t.Errorf("unlimited retention bounds nothing: %v", err)
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

func FuzzValidateConfig(f *testing.F) {
	for _, c := range Configs() {
		f.Add(c.Name, c.Default)
	}
	f.Add(CleanupPolicy, ",,compact , delete,")
	f.Add("no.such", "x")
	f.Fuzz(func(t *testing.T, name, value string) {
		err := ValidateConfigs(map[string]string{name: value})
		if err != nil {
			if !errors.Is(err, ErrInvalidConfig) && !errors.Is(err, ErrUnknownConfig) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		v, c := Values{name: value}, mustLookup(name)
		switch c.Kind { // what was validated can be read
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
