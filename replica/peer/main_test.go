package peer

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// childEnv has a test binary act as a follower's process.
const childEnv = "SLUICE_TEST_FOLLOWER"

func TestMain(m *testing.M) {
	if to := os.Getenv(childEnv); to != "" {
		childMain(to)
		return
	}
	goleak.VerifyTestMain(m)
}
