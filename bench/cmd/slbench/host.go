package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/sluicemq/sluice/bench/report"
)

// host describes the machine. Unknown values stay empty.
func host(ctx context.Context, sluice, nats string) report.Host {
	h := report.Host{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: cpuModel(),
		Sluice: output(ctx, sluice, "version"), NATS: strings.TrimPrefix(output(ctx, nats, "--version"), "nats-server: ")}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		h.Kernel = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		h.Load1, _ = strconv.ParseFloat(strings.Fields(string(b))[0], 64) // 0 if it is not a number
	}
	return h
}

func cpuModel() string {
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	for l := range bytes.Lines(b) {
		if key, value, ok := bytes.Cut(l, []byte(":")); ok && string(bytes.TrimSpace(key)) == "model name" {
			return string(bytes.TrimSpace(value))
		}
	}
	return runtime.GOARCH
}

// output returns the first line that a program prints, "" if it fails.
func output(ctx context.Context, path string, args ...string) string {
	if path == "" {
		return ""
	}
	b, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(first)
}

// budgets adds up the memory that Sluice's default settings, also used by `dev`, allow for
// caches and data in flight; 0 if the binary does not report it.
func budgets(ctx context.Context, sluice string) int64 {
	b, err := exec.CommandContext(ctx, sluice, "config", "print").Output()
	if err != nil {
		return 0
	}
	var cfg struct {
		Cache, Memory map[string]any
	}
	if toml.Unmarshal(b, &cfg) != nil {
		return 0
	}
	var sum int64
	for _, section := range []map[string]any{cfg.Cache, cfg.Memory} {
		for key, v := range section {
			if n, ok := v.(int64); ok && strings.HasSuffix(key, "_bytes") {
				sum += n
			}
		}
	}
	return sum
}
