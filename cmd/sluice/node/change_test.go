package node

import (
	"strings"
	"testing"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/pipeline"
)

// A setting whose tag names a stage that there is not, or one that does not have the limit, keeps
// the broker from starting.
func TestLimitsOfStagesThatAreNotThere(t *testing.T) {
	for want, g := range map[string]*pipeline.Graph{
		`wal.upload_size_bytes: no pipeline "upload"; there are write`: pipeline.New("write"),
		"wal.upload_size_bytes: ":                                      pipeline.New("upload"),
	} {
		if _, err := newLimiter([]*pipeline.Graph{g}, config.DefaultBroker()); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}
