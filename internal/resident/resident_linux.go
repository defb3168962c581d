package resident

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Shrink gives back the pages of the program file that are mapped and returns
// how many bytes of address space that was. It is safe at any time: what is given
// back was never written, and whoever needs it again finds it in the page cache.
func Shrink() (int64, error) {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return 0, err
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	found, err := unwritten(f, exe)
	if err != nil {
		return 0, err
	}
	total := int64(0)
	for _, m := range found {
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); errno != 0 {
			return total, fmt.Errorf("give back pages of %s: %w", exe, errno)
		}
		total += int64(m.to - m.from)
	}
	return total, nil
}

type mapping struct{ from, to uintptr }

// unwritten returns the mappings of exe that cannot be written and never were. The
// dynamic linker writes to some before it makes them read-only (RELRO: the table
// through which functions of the C library are found); given back, they would read
// as they are in the file, and the next call would go to address 0.
func unwritten(smaps io.Reader, exe string) (found []mapping, err error) {
	last := false // the mapping whose properties follow is in found
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Anonymous", "Swap": // pages that are not those of the file
			if last && strings.Join(strings.Fields(value), " ") != "0 kB" {
				found, last = found[:len(found)-1], false
			}
		default:
			if from, to, ok := program(line, exe); ok {
				found, last = append(found, mapping{from, to}), true
			} else if strings.Contains(name, "-") { // the head of another
				last = false
			}
		}
	}
	return found, lines.Err()
}

// program reads a line of /proc/self/smaps: ok if it is a mapping of exe that
// cannot be written.
func program(line, exe string) (from, to uintptr, ok bool) {
	var mode, offset, device, inode string
	if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &from, &to, &mode, &offset, &device, &inode); err != nil {
		return 0, 0, false
	}
	return from, to, strings.HasPrefix(mode, "r") && mode[1] == '-' && strings.HasSuffix(line, " "+exe) && to > from
}
