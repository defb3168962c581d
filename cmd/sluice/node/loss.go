package node

import (
	"errors"
	"io/fs"
	"os"
)

// emptyDirectory reports whether a directory is empty or missing.
func emptyDirectory(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return len(entries) == 0, err
}

// reportLoss reports a lost WAL. Only the WAL knew the end of each partition, so the exact loss
// is unknown; but a group that has committed an offset beyond the end of a partition has read
// lost records.
func (n *node) reportLoss(incarnation uint64) {
	if incarnation <= 1 || !n.storage.newWAL {
		return
	}
	n.log.Warn("the WAL directory is empty although this broker ran before: records not uploaded by then are lost; uploaded ones are served from objects",
		"directory", n.cfg.Storage.WALDirectory)
	for _, g := range n.cluster.Groups() {
		for p, committed := range g.Offsets {
			s, ok := n.storage.parts.table.Get(p)
			if !ok || committed.Offset <= s.HighWatermark() {
				continue
			}
			name := p.Topic.String()
			if t, ok := n.cluster.View().TopicByID(p.Topic); ok {
				name = t.Name
			}
			n.log.Error("records were lost with the WAL: a group has read beyond the end of the partition; it continues according to its clients' auto.offset.reset",
				"group", g.Name, "topic", name, "partition", p.Index, "committed", committed.Offset, "end", s.HighWatermark())
		}
	}
}
