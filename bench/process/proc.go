package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"time"
)

// Proc is a process id in /proc.
type Proc int

// ticks is the unit of CPU times in /proc, per second; Linux uses 100 on all machines.
const ticks = 100

// CPU returns the processor time of the process in seconds.
func (p Proc) CPU() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	if err != nil {
		return 0, err
	}
	return parseStat(b)
}

// parseStat adds fields 14 and 15, utime and stime. The name before them, in brackets, may
// contain anything.
func parseStat(b []byte) (float64, error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	const utime, stime = 14 - 3, 15 - 3
	if len(f) <= stime {
		return 0, errors.New("/proc/PID/stat is short")
	}
	u, err := strconv.ParseFloat(string(f[utime]), 64)
	s, err2 := strconv.ParseFloat(string(f[stime]), 64)
	return (u + s) / ticks, errors.Join(err, err2)
}

// RSS returns the resident bytes.
func (p Proc) RSS() (int64, error) { return p.status("VmRSS:") }

// PeakRSS returns the peak of the resident bytes.
func (p Proc) PeakRSS() (int64, error) { return p.status("VmHWM:") }

func (p Proc) status(key string) (int64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
	if err != nil {
		return 0, err
	}
	return parseStatus(b, key)
}

func parseStatus(b []byte, key string) (int64, error) {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(key)); ok {
			if f := bytes.Fields(rest); len(f) == 2 {
				kb, err := strconv.ParseInt(string(f[0]), 10, 64)
				return kb << 10, err
			}
		}
	}
	return 0, fmt.Errorf("no %s in /proc/PID/status", key)
}

// OwnCPU returns the processor time of this process in seconds.
func OwnCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // never fails for the own process
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
