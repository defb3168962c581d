package kafka

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/sluicemq/sluice/internal/meta"
	"github.com/sluicemq/sluice/internal/topic"
)

// LogDir is a place that has records.
type LogDir struct {
	Name string
	// Total and Usable are the bytes of its volume; -1 where they are not known.
	Total, Usable int64
}

// LogDirs says where this broker's partitions have their records.
type LogDirs interface {
	// LogDirs returns the directory of the write-ahead log, and the object store.
	LogDirs() (wal, objects LogDir)
	// WALBytes returns how many bytes of a partition's records are in the log.
	WALBytes(topic.Partition) int64
}

// logDirsWriter answers DescribeLogDirs (KIP-113): where the partitions of this broker
// are, and how large. What is in the log and in the object store counts in both.
type logDirsWriter struct {
	node         int32
	dirs         LogDirs
	wal, objects []kmsg.DescribeLogDirsResponseDirTopic
}

// describeLogDirs serves DescribeLogDirs. The volume may be slow to tell how large it is.
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

// named answers about what a request names, each once, whatever it names that is not here.
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

// topic adds partitions of t, nil for all.
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
