package supervise

import "syscall"

// attributes put a node in a process group of its own, so that Ctrl-C reaches the supervisor only,
// and have it stop when the supervisor dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
