package netlab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

const inside = "NETLAB_INSIDE"

// ErrUnable says why there can be no sandbox here.
var ErrUnable = errors.New("network namespaces need root and /dev/net/tun")

// Sandbox runs main in new PID, mount and network namespaces, in a process with the arguments and
// environment of this one, and returns its exit code. In that process it just runs main.
func Sandbox(main func() int) (int, error) {
	if os.Getenv(inside) != "" {
		if err := settle(); err != nil {
			return 1, fmt.Errorf("set up the sandbox: %w", err)
		}
		return main(), nil
	}
	if err := able(); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	cmd := exec.CommandContext(context.Background(), self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Env = os.Stdin, os.Stdout, os.Stderr, append(os.Environ(), inside+"=1")
	// The kernel kills the process when this one ends, and everything in the sandbox with it.
	cmd.SysProcAttr = &unix.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(1, exit.ExitCode()), nil
	}
	if err != nil {
		return 1, fmt.Errorf("%w: %w", ErrUnable, err)
	}
	return 0, nil
}

func able() error {
	if os.Geteuid() != 0 {
		return ErrUnable
	}
	if err := unix.Access("/dev/net/tun", unix.R_OK|unix.W_OK); err != nil {
		return fmt.Errorf("%w: %w", ErrUnable, err)
	}
	return nil
}

// settle keeps mounts from propagating to the outside, and shows the processes of the sandbox in
// /proc.
func settle() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	return up(s, "lo")
}

// Inside reports whether this process is in a sandbox.
func Inside() bool { return os.Getenv(inside) != "" }

// Disk mounts a small file system in memory, which can be filled.
type Disk struct{ dir string }

const ballast = "ballast"

// NewDisk mounts a file system of a size on a directory, in a sandbox only.
func NewDisk(dir string, bytes int64) (*Disk, error) {
	if !Inside() {
		return nil, errors.New("a disk is mounted in a sandbox only")
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return nil, fmt.Errorf("mount a disk: %w", err)
	}
	return &Disk{dir}, nil
}

// Fill uses up all free space.
func (d *Disk) Fill() error {
	f, err := os.Create(filepath.Join(d.dir, ballast))
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		switch _, err := f.Write(make([]byte, size)); {
		case errors.Is(err, unix.ENOSPC):
			size /= 2
		case err != nil:
			return err
		}
	}
	return nil
}

// Free gives the space back.
func (d *Disk) Free() error { return os.Remove(filepath.Join(d.dir, ballast)) }

// Close unmounts the file system; its files are gone.
func (d *Disk) Close() error { return unix.Unmount(d.dir, unix.MNT_DETACH) }
