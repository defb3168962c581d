package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/setting"
)

// liveTable is the table in docs/operations.md of the settings that can be changed without a
// restart. Limits that every stage has share a row, since their bounds are the same.
func liveTable() string {
	var b strings.Builder
	b.WriteString("| setting | limit | least | greatest |\n|---|---|---:|---:|\n")
	type row struct {
		stages      []string
		least, most int64
	}
	common := map[string]row{} // by the last part of the key
	for f := range setting.Fields(config.DefaultBroker()) {
		least, most, _ := f.Bounds()
		switch parts := strings.Split(f.Key, "."); {
		case f.Live == setting.Place{}:
		case f.Live.Limit == "":
			fmt.Fprintf(&b, "| `%s` | | | |\n", f.Key)
		case f.Live.Limit == "depth" || f.Live.Limit == "workers":
			common[f.Live.Limit] = row{append(common[f.Live.Limit].stages, parts[1]), least, most}
		default:
			fmt.Fprintf(&b, "| `%s` | `%s %s` | %d | %d |\n", f.Key, f.Live.Stage, f.Live.Limit, least, most)
		}
	}
	for _, key := range []string{"depth", "workers"} {
		r := common[key]
		slices.Sort(r.stages)
		fmt.Fprintf(&b, "| `stages.STAGE.%s`, for %s | `PIPELINE/STAGE %s` | %d | %d |\n", key, strings.Join(r.stages, ", "), key, r.least, r.most)
	}
	return b.String()
}

// docs/operations.md lists the settings that a reload applies, as their tags say.
func TestLiveSettingsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), liveTable()) {
		t.Errorf("docs/operations.md must have this table:\n%s", liveTable())
	}
}
