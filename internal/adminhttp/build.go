package adminhttp

import (
	"encoding/json"
	"net/http"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Build describes the program.
type Build struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"` // of the source code, "unknown" if the build does not record it
	Modified  bool   `json:"modified"` // the source code differed from the revision
	GoVersion string `json:"go_version"`
	Platform  string `json:"platform"` // such as linux/amd64
}

// ReadBuild returns the build of the running program. The caller supplies the version.
func ReadBuild(version string) Build {
	b := Build{Version: version, Revision: "unknown", GoVersion: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// Collector returns a metric that is always 1, with b as its labels.
func (b Build) Collector() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_build_info", Help: "What the program was built from; always 1.",
		ConstLabels: prometheus.Labels{"version": b.Version, "revision": b.Revision, "go_version": b.GoVersion}}, func() float64 { return 1 })
}

func (b Build) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(b) // fails only if the client is gone
}
