package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// attached is a process that a supervisor started.
type attached struct {
	id     int
	output string
}

// attach waits for the process in a node's directory.
func attach(dir string, supervisor *child) (*attached, error) {
	for end := time.Now().Add(startLimit); ; time.Sleep(pollEvery) {
		switch pid, err := readPID(dir); {
		case err == nil:
			return &attached{pid, filepath.Join(dir, "log")}, nil
		case !errors.Is(err, fs.ErrNotExist):
			return nil, err
		case !supervisor.alive():
			return nil, fmt.Errorf("the supervisor ended (%w): %s", supervisor.ended(), tail(supervisor))
		case time.Now().After(end):
			return nil, fmt.Errorf("the supervisor started no process in %s: %s", dir, tail(supervisor))
		}
	}
}

// readPID returns fs.ErrNotExist if there is no process, or the file is being written.
func readPID(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		return 0, err
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return 0, fs.ErrNotExist
	}
	pid, err := strconv.Atoi(text)
	if err != nil || pid < 2 {
		return 0, fmt.Errorf("%s: %q is no process id", filepath.Join(dir, "pid"), text)
	}
	return pid, nil
}

// request asks the supervisor to start a node that has ended, and waits until it noticed that.
func request(dir string) error {
	for end := time.Now().Add(startLimit); ; time.Sleep(pollEvery) {
		if _, err := readPID(dir); errors.Is(err, fs.ErrNotExist) {
			return os.WriteFile(filepath.Join(dir, "start"), nil, 0o600)
		}
		if time.Now().After(end) {
			return fmt.Errorf("the supervisor does not notice that the process in %s has ended", dir)
		}
	}
}

func (p *attached) pid() int    { return p.id }
func (p *attached) log() string { return p.output }

// alive is false for a process that has ended and was not waited for yet.
func (p *attached) alive() bool {
	s := state(p.id)
	return s != 0 && s != 'Z' && s != 'X'
}

func (p *attached) ended() error {
	if p.alive() {
		return nil
	}
	return errors.New("its supervisor knows why")
}

func (p *attached) kill() error {
	if !p.alive() {
		return nil
	}
	if err := syscall.Kill(p.id, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	for end := time.Now().Add(startLimit); p.alive(); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			return fmt.Errorf("process %d does not end", p.id)
		}
	}
	return nil
}
