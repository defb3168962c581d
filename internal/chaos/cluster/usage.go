package cluster

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
)

// Usage of processes.
type Usage struct {
	CPU          float64 // seconds
	Resident     int64   // bytes
	PeakResident int64
	Written      int64 // bytes sent to disks, or made dirty in the page cache to be
}

func (u Usage) plus(v Usage) Usage {
	return Usage{u.CPU + v.CPU, u.Resident + v.Resident, u.PeakResident + v.PeakResident, u.Written + v.Written}
}

// usage reads /proc; what cannot be read, as of a process that has just ended, counts as 0.
func usage(p process) Usage {
	dir := fmt.Sprintf("/proc/%d/", p.pid())
	stat, _ := os.ReadFile(dir + "stat")
	status, _ := os.ReadFile(dir + "status")
	io, _ := os.ReadFile(dir + "io")
	return Usage{CPU: cpu(stat), Resident: field(status, "VmRSS:") << 10, PeakResident: field(status, "VmHWM:") << 10,
		Written: field(io, "write_bytes:")}
}

// cpu adds fields 14 and 15 of /proc/PID/stat, utime and stime, in units of 1/100 s. The name
// before them, in brackets, may contain anything.
func cpu(stat []byte) float64 {
	const utime, stime, perSecond = 14 - 3, 15 - 3, 100
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) <= stime {
		return 0
	}
	u, _ := strconv.ParseFloat(string(f[utime]), 64)
	s, _ := strconv.ParseFloat(string(f[stime]), 64)
	return (u + s) / perSecond
}

// state returns the state of a process as in /proc/PID/stat, 0 if there is none.
func state(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(f) == 0 {
		return 0
	}
	return f[0][0]
}

// field returns the number behind a key of a file of lines.
func field(b []byte, key string) int64 {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			if f := bytes.Fields(rest); len(f) > 0 {
				n, _ := strconv.ParseInt(string(f[0]), 10, 64)
				return n
			}
		}
	}
	return 0
}
