package adminhttp

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"strconv"
)

// maxProfileSeconds is the maximum duration of a profile.
const maxProfileSeconds = 60

// profiling serves GET /debug/pprof/... for `go tool pprof`, or an error if it is off.
func profiling(on bool) http.Handler {
	if !on {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			Error(w, http.StatusNotFound, "profiles are off; set admin.debug = true and restart")
		})
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &profiles{crossOrigin: http.NewCrossOriginProtection(), taking: make(chan struct{}, 1), next: mux}
}

// profiles allows one profile at a time, for a limited duration: profiling costs CPU time and
// may stop all goroutines.
type profiles struct {
	crossOrigin *http.CrossOriginProtection
	taking      chan struct{}
	next        http.Handler
}

func (p *profiles) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := r.Clone(r.Context())
	asked.Method = http.MethodPost // expensive, so the rules for changes apply
	if p.crossOrigin.Check(asked) != nil {
		refuse(w, http.StatusForbidden, "this request comes from a page of another site, which may not take profiles here")
		return
	}
	if err := boundedTime(r.URL.Query()["seconds"]); err != nil {
		Error(w, http.StatusBadRequest, err.Error())
		return
	}
	select {
	case p.taking <- struct{}{}:
		defer func() { <-p.taking }()
	default:
		w.Header().Set("Retry-After", "1")
		Error(w, http.StatusTooManyRequests, "another profile is being taken; try again when it is done")
		return
	}
	asked.Method, asked.Body = r.Method, http.NoBody
	asked.Header.Del("Content-Type") // else net/http/pprof would also read seconds from a form
	p.next.ServeHTTP(w, asked)
}

// boundedTime checks all seconds parameters, since net/http/pprof may use any of them.
func boundedTime(seconds []string) error {
	for _, s := range seconds {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || !(n > 0 && n <= maxProfileSeconds) {
			return fmt.Errorf("seconds must be above 0 and at most %d, not %q", maxProfileSeconds, s)
		}
	}
	return nil
}
