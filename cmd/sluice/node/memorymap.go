package node

import "net/http"

// memoryLine is a line of the response to GET /memory.
type memoryLine struct {
	Use     string `json:"use"`
	Setting string `json:"setting,omitempty"`
	Mapped  bool   `json:"mapped"` // outside of the heap
	Holds   string `json:"holds"`
	Full    string `json:"full"` // behaviour at the limit
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
