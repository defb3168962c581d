package e2e

import (
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpu is the mean processor use over an interval, in cores.
type cpu struct {
	broker, client float64
	// others is the use by everything else, including kernel threads. stolen is the time that the
	// host withheld from this virtual machine.
	others, stolen float64
}

// cpuOf measures the processor use while f runs.
func (b *broker) cpuOf(f func()) cpu {
	b.t.Helper()
	began := time.Now()
	broker, client := b.metric("process_cpu_seconds_total"), selfSeconds(b.t)
	busy, stolen := machineSeconds(b.t)
	f()
	took := time.Since(began).Seconds()
	c := cpu{broker: (b.metric("process_cpu_seconds_total") - broker) / took, client: (selfSeconds(b.t) - client) / took}
	busyNow, stolenNow := machineSeconds(b.t)
	c.others, c.stolen = (busyNow-busy)/took-c.broker-c.client, (stolenNow-stolen)/took
	return c
}

func selfSeconds(t testing.TB) float64 {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// machineSeconds reads the first line of /proc/stat, which counts in hundredths of a second.
func machineSeconds(t testing.TB) (busy, stolen float64) {
	t.Helper()
	f, err := os.Open("/proc/stat")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var user, nice, system, idle, iowait, irq, softirq, steal float64
	if _, err := fmt.Fscanf(f, "cpu %f %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal); err != nil {
		t.Fatal(err)
	}
	return (user + nice + system + irq + softirq) / 100, steal / 100
}
