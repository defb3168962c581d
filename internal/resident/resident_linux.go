package resident

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Shrink releases the mapped pages of the program file and returns their number
// of bytes of address space. It is safe at any time: the pages were never
// written, and whoever needs them again finds them in the page cache.
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

// unwritten returns the mappings of exe that are read-only and were never
// written. The dynamic linker writes to some before it makes them read-only
// (RELRO: the table through which functions of the C library are found); if
// released, they would read as in the file, and the next call would go to address
// 0.
func unwritten(smaps io.Reader, exe string) (found []mapping, err error) {
	last := false // the mapping whose properties follow is in found
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		name, value, _ := strings.Cut(line, ":")
		switch name {
		case "Anonymous", "Swap": // pages other than the file's
			if last && strings.Join(strings.Fields(value), " ") != "0 kB" {
				found, last = found[:len(found)-1], false
			}
		default:
			if from, to, ok := program(line, exe); ok {
				found, last = append(found, mapping{from, to}), true
			} else if strings.Contains(name, "-") { // the header of another mapping
				last = false
			}
		}
	}
	return found, lines.Err()
}

// program parses a line of /proc/self/smaps: ok if it is a read-only mapping of
// exe.
func program(line, exe string) (from, to uintptr, ok bool) {
	var mode, offset, device, inode string
	if _, err := fmt.Sscanf(line, "%x-%x %s %s %s %s", &from, &to, &mode, &offset, &device, &inode); err != nil {
		return 0, 0, false
	}
	return from, to, strings.HasPrefix(mode, "r") && mode[1] == '-' && strings.HasSuffix(line, " "+exe) && to > from
}
