package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// process is a running node.
type process struct {
	node Node
	cmd  *exec.Cmd
	pid  int
	err  error // set before it is sent to ended
}

// launch starts a node's process. The process is sent to ended when it is over.
func launch(binary string, n Node, ended chan<- *process) (*process, error) {
	log, err := os.OpenFile(logFile(n.Dir), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p := &process{node: n, cmd: exec.CommandContext(context.Background(), binary, n.Args...)}
	// A file, not a pipe: a node must be able to write while it outlives the supervisor.
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = attributes()
	started := make(chan error)
	go func() {
		// The signal of Pdeathsig is sent when the thread ends that started the process (prctl(2)).
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = p.cmd.Wait()
		ended <- p
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	p.pid = p.cmd.Process.Pid
	return p, nil
}

// terminate asks a process to end. Its end is told by the channel, so errors need no answer: it has
// ended already.
func (p *process) terminate() { _ = p.cmd.Process.Signal(syscall.SIGTERM) }

// failed reports whether a process that was asked to end has ended otherwise. One that has just begun
// does not handle the signal yet, which is as good.
func (p *process) failed() bool {
	status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return p.err != nil && (!ok || !status.Signaled() || status.Signal() != syscall.SIGTERM)
}

func (p *process) kill() { _ = p.cmd.Process.Kill() }

// writePID writes a pid file, whole or not at all.
func writePID(dir string, pid int) error {
	fresh := pidFile(dir) + ".new"
	if err := os.WriteFile(fresh, []byte(strconv.Itoa(pid)+"\n"), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, pidFile(dir))
}

// PID returns the process ID in a node's directory. The error wraps fs.ErrNotExist if it is down.
func PID(dir string) (int, error) {
	text, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("%s has no process ID", pidFile(dir))
	}
	return pid, nil
}
