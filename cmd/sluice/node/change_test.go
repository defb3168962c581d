package node

import (
	"strings"
	"testing"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/pipeline"
)

// A setting whose tag names a missing stage, or one without the limit, makes the start fail.
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
