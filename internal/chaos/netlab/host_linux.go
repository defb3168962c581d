package netlab

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	device    = "eth0"
	mtu       = 9000 // fewer packets: the switch shares the machine with the nodes
	firstPort = 9092
)

// Host is a network namespace with an interface.
type Host struct {
	Name string
	IP   netip.Addr

	netns *os.File // keeps the namespace
	tun   *os.File // of its interface
	ports atomic.Int32
}

// newHost makes a namespace, or uses that of this process.
func newHost(name string, ip netip.Addr, own bool) (*Host, error) {
	h := &Host{Name: name, IP: ip}
	h.ports.Store(firstPort - 1)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread, which is in another namespace, ends with the goroutine
		done <- h.make(own)
		if own {
			runtime.UnlockOSThread()
		}
	}()
	if err := <-done; err != nil {
		return nil, fmt.Errorf("make the network of %s: %w", name, err)
	}
	return h, nil
}

func (h *Host) make(own bool) error {
	if !own {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("unshare: %w", err)
		}
	}
	var err error
	if h.netns, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	if h.tun, err = openTUN(); err != nil {
		return err
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := up(s, "lo"); err != nil {
		return err
	}
	return configure(s, h.IP)
}

// openTUN makes the device in the namespace of the calling thread.
func openTUN() (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open /dev/net/tun: %w", err)
	}
	r, err := unix.NewIfreq(device)
	if err != nil {
		return nil, err
	}
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, r); err != nil {
		_ = unix.Close(fd) // never used
		return nil, fmt.Errorf("make a TUN device: %w", err)
	}
	return os.NewFile(uintptr(fd), device), nil
}

// configure gives the device an address in a /24, and brings it up.
func configure(s int, ip netip.Addr) error {
	for _, set := range []struct {
		request uint
		value   func(*unix.Ifreq) error
	}{
		{unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(ip.AsSlice()) }},
		{unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr([]byte{255, 255, 255, 0}) }},
		{unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }},
	} {
		r, err := unix.NewIfreq(device)
		if err != nil {
			return err
		}
		if err := set.value(r); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(s, set.request, r); err != nil {
			return fmt.Errorf("configure %s (request %#x): %w", device, set.request, err)
		}
	}
	return up(s, device)
}

func up(s int, name string) error {
	r, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, r); err != nil {
		return fmt.Errorf("bring up %s: %w", name, err)
	}
	return nil
}

// Address returns HOST:PORT on this host, with another port each time.
func (h *Host) Address() (string, error) {
	return netip.AddrPortFrom(h.IP, uint16(h.ports.Add(1))).String(), nil
}

// Start starts a process on this host. As with any [exec.Cmd], its Pdeathsig belongs to the
// calling thread.
func (h *Host) Start(cmd *exec.Cmd) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer here.Close()
	if err := unix.Setns(int(h.netns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network of %s: %w", h.Name, err)
	}
	err = cmd.Start()
	if back := unix.Setns(int(here.Fd()), unix.CLONE_NEWNET); back != nil {
		panic("netlab: a thread cannot return to its network: " + back.Error()) // anything could run on it
	}
	return err
}

func (h *Host) close() {
	_ = h.tun.Close() // ends the reader of the switch; the device goes with it
	_ = h.netns.Close()
}

// destination returns the address that an IPv4 packet goes to.
func destination(packet []byte) (netip.Addr, bool) {
	if len(packet) < 20 || packet[0]>>4 != 4 {
		return netip.Addr{}, false // IPv6 router solicitations and the like
	}
	return netip.AddrFrom4([4]byte(packet[16:20])), true
}
