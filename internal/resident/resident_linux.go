package resident

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Shrink gives back the pages of the program file that are mapped and returns
// how many bytes of address space that was. It is safe at any time: the pages are
// never written, and whoever needs one again finds it in the page cache.
func Shrink() (int64, error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	total := int64(0)
	for lines := bufio.NewScanner(f); lines.Scan(); {
		from, to, ok := program(lines.Text(), exe)
		if !ok {
			continue
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); errno != 0 {
			return total, fmt.Errorf("give back pages of %s: %w", exe, errno)
		}
		total += int64(to - from)
	}
	return total, nil
}

// program reads a line of /proc/self/maps: ok if it is a mapping of exe that
// cannot be written.
func program(line, exe string) (from, to uintptr, ok bool) {
	var mode, offset, device, inode string
	if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &from, &to, &mode, &offset, &device, &inode); err != nil {
		return 0, 0, false
	}
	return from, to, strings.HasPrefix(mode, "r") && mode[1] == '-' && strings.HasSuffix(line, " "+exe) && to > from
}
