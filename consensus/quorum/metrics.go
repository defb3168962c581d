package quorum

import "github.com/prometheus/client_golang/prometheus"

func registerMetrics(q *Quorum, reg prometheus.Registerer) {
	offline := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_shards_offline",
		Help: "Metadata shards that were not started because their logs are damaged or incomplete."},
		func() float64 { return float64(len(q.host.logs.offlineShards())) })
	reserve := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_reserve_bytes",
		Help: "Space on the metadata disk that no other program can take."},
		func() float64 { return float64(q.host.reserve.Bytes()) })
	full := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_disk_full",
		Help: "1 while part of the reserve is in use because the metadata disk is full."},
		func() float64 {
			if q.host.reserve.Used() {
				return 1
			}
			return 0
		})
	logs := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sluice_metadata_log_bytes",
		Help: "Bytes of changes since the shards' last snapshots, which a start replays."}, func() float64 {
		n := int64(0)
		for _, l := range q.logs {
			n += l.bytes.Load()
		}
		return float64(n)
	})
	reg.MustRegister(offline, reserve, full, logs)
}
