package e2e

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
)

// Every metric in docs/operations.md is exported from the start, so that an alert on a rate sees the
// first failure. The page lists the values of labels that have a fixed set.
func TestMetricsAreThereFromTheStart(t *testing.T) {
	b := newBroker(t)
	b.createTopic("t", 1) // metrics of partitions and groups need one of each
	var at kadm.Offsets
	at.AddOffset("t", 0, 0, -1)
	if err := b.admins().CommitAllOffsets(deadline(t), "g", at); err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + b.admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	series := map[string][]string{} // labels of each series
	for line := range strings.Lines(string(text)) {
		if name, rest, ok := strings.Cut(strings.TrimSpace(line), "{"); ok && !strings.HasPrefix(line, "#") {
			series[name] = append(series[name], rest[:strings.LastIndexByte(rest, '}')])
		} else if name, _, ok := strings.Cut(line, " "); ok && name != "#" {
			series[name] = append(series[name], "")
		}
	}
	page, err := os.ReadFile("../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := map[string]string{} // table rows about each metric
	for line := range strings.Lines(string(page)) {
		for _, m := range regexp.MustCompile("`(sluice_[a-z_]+)`").FindAllStringSubmatch(line, -1) {
			if strings.HasPrefix(line, "| `") {
				rows[m[1]] += strings.ReplaceAll(line, "_", " ")
			}
		}
	}
	if len(rows) < 100 || len(series) < 100 {
		t.Fatalf("%d metrics on the page and %d in the answer: the test looks in the wrong places", len(rows), len(series))
	}
	for name, row := range rows {
		all := append(series[name], series[name+"_count"]...)
		if strings.HasPrefix(name, "sluice_peer_") || strings.HasPrefix(name, "sluice_feed_") {
			if len(all) > 0 {
				t.Errorf("%s is there without a cluster", name)
			}
			continue
		}
		if len(all) == 0 {
			t.Errorf("%s is not there before it has something to count", name)
		}
		for _, labels := range all {
			for _, l := range regexp.MustCompile(`([a-z_]+)="([^"]*)"`).FindAllStringSubmatch(labels, -1) {
				if many[l[1]] || strings.HasSuffix(name, "_info") {
					continue
				}
				if !regexp.MustCompile(`(?i)\b` + strings.ReplaceAll(l[2], "_", " ") + `\b`).MatchString(row) {
					t.Errorf("docs/operations.md does not say of %s that %s may be %s", name, l[1], l[2])
				}
			}
		}
	}
}

// many holds the labels whose values are not listed with each metric: pipelines, stages, APIs, uses
// of memory, topics, groups.
var many = map[string]bool{"graph": true, "stage": true, "api": true, "use": true, "file": true, "le": true,
	"topic": true, "partition": true, "group": true}
