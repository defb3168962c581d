package replication

import (
	"testing"
)

// TestEachRuleIsNeeded disables one rule at a time. The simulation must then find a violation, which
// shows that both the rule and the checks are effective.
func TestEachRuleIsNeeded(t *testing.T) {
	for _, tt := range []struct {
		name string
		rule rules
	}{
		{"maximal ISR", ruleMaximalISR},
		{"min ISR", ruleMinISR},
		{"epoch start", ruleEpochStart},
		{"upload committed records only", ruleUploadCommitted},
		{"truncation by epoch", ruleTruncateByEpoch},
		{"version check", ruleVersion},
		{"incarnation", ruleIncarnation},
		{"clean election", ruleCleanElection},
		{"unclean replicas leave", ruleUncleanLeaves},
		{"ELR cleared", ruleELRCleared},
		{"upload base", ruleUploadBase},
		{"reclaim after the tier commit", ruleReclaimTiered},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 50_000; seed++ {
				if _, err := simulate(seed, tt.rule, false); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("no violation without it")
		})
	}
}
