//go:build unix && !linux

package supervise

import "syscall"

// attributes put a node in a process group of its own, so that Ctrl-C reaches the supervisor only.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
