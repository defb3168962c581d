package node

import (
	"net/http"

	"github.com/sluicemq/sluice/pipeline"
)

// memoryLine is a line of the answer to GET /memory.
type memoryLine struct {
	Use     string `json:"use"`
	Setting string `json:"setting,omitempty"`
	Mapped  bool   `json:"mapped"` // apart from the heap
	Holds   string `json:"holds"`
	Full    string `json:"full"` // what happens at the limit
	Bytes   int64  `json:"bytes"`
	Limit   int64  `json:"limit_bytes"`
}

func (a *admin) memoryMap(w http.ResponseWriter, _ *http.Request) {
	lines := []memoryLine{}
	for _, l := range a.memory.Lines() {
		lines = append(lines, memoryLine{l.Name, l.Setting, l.Mapped, l.Holds, l.Full, l.Used(), l.Limit()})
	}
	reply(w, lines)
}

// tune changes a limit of a stage, unless everything together would not fit into the
// process's memory then.
func (a *admin) tune(g *pipeline.Graph, l limit) error {
	before, known := tunable(g, l)
	if err := g.Tune(l.Stage, l.Key, l.Value); err != nil {
		return err
	}
	err := a.memory.Fit(a.memoryLimit)
	if err != nil && known && l.Value > before {
		if undo := g.Tune(l.Stage, l.Key, before); undo != nil {
			return undo
		}
		return err
	}
	return nil
}

func tunable(g *pipeline.Graph, l limit) (int64, bool) {
	for _, n := range g.Topology().Nodes {
		if n.Name == l.Stage {
			v, ok := n.Tunables[l.Key]
			return v, ok
		}
	}
	return 0, false
}
