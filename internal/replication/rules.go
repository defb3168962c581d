package replication

// rules is a set of protocol rules that a test has switched off. It is empty in production.
type rules uint32

const (
	ruleMaximalISR rules = 1 << iota
	ruleMinISR
	ruleEpochStart
	ruleUploadCommitted
	ruleTruncateByEpoch
	ruleVersion
	ruleIncarnation
	ruleCleanElection
	ruleUncleanLeaves
	ruleELRCleared
	ruleUploadBase
	ruleReclaimTiered
	ruleFetchEpoch
	ruleAlterEpoch
	ruleUploadEpoch
	ruleReclaimCommitted
)

// on reports whether rule r holds.
func (off rules) on(r rules) bool { return off&r == 0 }
