package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// LogDir is one storage location of records.
type LogDir struct {
	Name string
	// Total and Usable are the bytes of its volume; -1 if unknown.
	Total, Usable int64
}

// LogDirs describes where this broker's partitions are stored.
type LogDirs interface {
	// LogDirs returns the directory of the write-ahead log, and the object store.
	LogDirs() (wal, objects LogDir)
	// WALBytes returns the bytes of a partition's records in the write-ahead log.
	WALBytes(topic.Partition) int64
}

// logDirsWriter answers DescribeLogDirs (KIP-113) with the location and size of this broker's
// partitions. Records both in the WAL and in the object store count in both.
type logDirsWriter struct {
	node         int32
	dirs         LogDirs
	wal, objects []kmsg.DescribeLogDirsResponseDirTopic
}

// describeLogDirs serves DescribeLogDirs. Asking the volume for its size may be slow.
func (h *Handlers) describeLogDirs(ctx context.Context, r *Request, reply func(Response)) {
	h.searches.serve(ctx, r, reply, func() kmsg.Response {
		req := r.Body.(*kmsg.DescribeLogDirsRequest)
		resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
		w := logDirsWriter{node: h.deps.Node, dirs: h.deps.LogDirs}
		view := h.deps.Lookup.View()
		if req.Topics == nil {
			for _, t := range view.Topics() {
				w.topic(t, nil)
			}
		} else {
			w.named(view, req.Topics)
		}
		wal, objects := w.dirs.LogDirs()
		resp.Dirs = []kmsg.DescribeLogDirsResponseDir{dir(wal, w.wal), dir(objects, w.objects)}
		return resp
	})
}

func dir(d LogDir, topics []kmsg.DescribeLogDirsResponseDirTopic) kmsg.DescribeLogDirsResponseDir {
	out := kmsg.NewDescribeLogDirsResponseDir()
	out.Dir, out.TotalBytes, out.UsableBytes, out.Topics = d.Name, d.Total, d.Usable, topics
	return out
}

// named describes the requested partitions of this broker, each once.
func (w *logDirsWriter) named(view *meta.View, asked []kmsg.DescribeLogDirsRequestTopic) {
	parts := make(map[string][]int32, len(asked))
	var names []string
	for i := range asked {
		name := asked[i].Topic
		if _, again := parts[name]; !again {
			names = append(names, name)
		}
		parts[name] = append(parts[name], asked[i].Partitions...)
	}
	for _, name := range names {
		if t, ok := view.TopicByName(name); ok && len(parts[name]) > 0 {
			slices.Sort(parts[name])
			w.topic(t, slices.Compact(parts[name]))
		}
	}
}

// topic adds partitions of t; nil means all.
func (w *logDirsWriter) topic(t *meta.Topic, parts []int32) {
	if parts == nil {
		parts = make([]int32, len(t.Partitions))
		for i := range parts {
			parts[i] = int32(i)
		}
	}
	var wal, objects []kmsg.DescribeLogDirsResponseDirTopicPartition
	for _, i := range parts {
		if i < 0 || int(i) >= len(t.Partitions) || !slices.Contains(t.Partitions[i].Replicas, w.node) {
			continue
		}
		wal = append(wal, kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: i,
			Size: w.dirs.WALBytes(topic.Partition{Topic: t.ID, Index: i})})
		if stored := storedBytes(t.Partitions[i]); stored > 0 {
			objects = append(objects, kmsg.DescribeLogDirsResponseDirTopicPartition{Partition: i, Size: stored})
		}
	}
	if len(wal) > 0 {
		w.wal = append(w.wal, kmsg.DescribeLogDirsResponseDirTopic{Topic: t.Name, Partitions: wal})
	}
	if len(objects) > 0 {
		w.objects = append(w.objects, kmsg.DescribeLogDirsResponseDirTopic{Topic: t.Name, Partitions: objects})
	}
}

func storedBytes(p *meta.Partition) (n int64) {
	for i := range p.Objects {
		n += p.Objects[i].Bytes
	}
	return n
}
