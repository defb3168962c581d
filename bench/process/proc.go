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

// Proc is a process by its id, as /proc knows it.
type Proc int

// ticks are what /proc counts CPU time in, a second; Linux gives programs this
// number on every machine.
const ticks = 100

// CPU returns the seconds of processor time that the process has used.
func (p Proc) CPU() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
	if err != nil {
		return 0, err
	}
	return parseStat(b)
}

// parseStat adds up fields 14 and 15, utime and stime. The name before them, in
// brackets, may hold anything.
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

// RSS returns the bytes resident now.
func (p Proc) RSS() (int64, error) { return p.status("VmRSS:") }

// PeakRSS returns the most bytes that were ever resident.
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

// OwnCPU returns what this process has used, in seconds.
func OwnCPU() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0 // it never fails for the process itself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
