package node

import "github.com/sluicemq/sluice/pipeline"

// Limits are the depth and workers of stages, by name. What is not set keeps
// the stage's default.
type Limits map[string]pipeline.Limits

func (l Limits) depth(stage string, def int) pipeline.Option {
	if n := l[stage].Depth; n > 0 {
		def = n
	}
	return pipeline.Depth(def)
}

func (l Limits) both(stage string, depth, workers int) []pipeline.Option {
	if n := l[stage].Workers; n > 0 {
		workers = n
	}
	return []pipeline.Option{l.depth(stage, depth), pipeline.Workers(workers)}
}
