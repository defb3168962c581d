package wallclock

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	stopLimit = 10 * time.Second
	pollEvery = time.Millisecond
)

// Set makes the wall clock of a process differ from the machine's by an offset, in whole
// seconds; 0 makes it right again. The process is stopped for a moment.
func Set(pid int, offset time.Duration) error {
	for end := time.Now().Add(stopLimit); ; time.Sleep(pollEvery) {
		done, err := try(pid, int64(offset/time.Second))
		if done || err != nil {
			return err
		}
		if time.Now().After(end) {
			return errors.New("a thread of the process was reading the clock each time that it was stopped")
		}
	}
}

// try replaces the functions, unless a thread is in one of them.
func try(pid int, seconds int64) (done bool, err error) {
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, syscall.Kill(pid, syscall.SIGCONT)) }()
	if err := awaitStopped(pid); err != nil {
		return false, err
	}
	start, size, err := mapping(pid)
	if err != nil {
		return false, err
	}
	inUse, err := running(pid, start, start+size)
	if inUse || err != nil {
		return false, err
	}
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return false, err
	}
	defer mem.Close()
	image := make([]byte, size)
	if _, err := mem.ReadAt(image, start); err != nil {
		return false, fmt.Errorf("read the vDSO: %w", err)
	}
	patches, err := patch(image, seconds)
	if err != nil {
		return false, err
	}
	for _, p := range patches {
		if _, err := mem.WriteAt(p.code, start+p.at); err != nil {
			return false, fmt.Errorf("write to the vDSO: %w", err)
		}
	}
	return true, nil
}

func tasks(pid int, file string) ([]string, error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/%s", pid, file))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("process %d is not there", pid)
	}
	var out []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil { // else the thread has ended
			out = append(out, string(b))
		}
	}
	return out, nil
}

func awaitStopped(pid int) error {
	for end := time.Now().Add(stopLimit); ; time.Sleep(pollEvery) {
		stats, err := tasks(pid, "stat")
		if err != nil {
			return err
		}
		moving := 0
		for _, s := range stats {
			if f := strings.Fields(s[strings.LastIndexByte(s, ')')+1:]); len(f) == 0 || f[0] != "T" {
				moving++
			}
		}
		if moving == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%d threads of process %d do not stop", moving, pid)
		}
	}
}

// running reports whether a thread is at an address of a range. The last field of
// /proc/PID/task/TID/syscall is the program counter.
func running(pid int, from, to int64) (bool, error) {
	states, err := tasks(pid, "syscall")
	if err != nil {
		return false, err
	}
	for _, s := range states {
		f := strings.Fields(s)
		if len(f) < 3 {
			return true, nil // "running": try again
		}
		pc, err := strconv.ParseInt(f[len(f)-1], 0, 64)
		if err != nil {
			return false, fmt.Errorf("where a thread is: %q", s)
		}
		if pc >= from && pc < to {
			return true, nil
		}
	}
	return false, nil
}

// mapping returns where the vDSO is.
func mapping(pid int) (start, size int64, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(strings.TrimSpace(line), "[vdso]") {
			continue
		}
		var end int64
		if _, err := fmt.Sscanf(line, "%x-%x", &start, &end); err != nil {
			return 0, 0, err
		}
		return start, end - start, nil
	}
	return 0, 0, fmt.Errorf("process %d has no vDSO", pid)
}

type code struct {
	at   int64
	code []byte
}

// The functions. Each makes the system call, whose arguments are its own, and adds the offset,
// which is the 8 bytes after mov rcx. Registers rcx and r11 are the caller's to save.
var functions = []struct {
	name          string
	before, after []byte
}{
	{"__vdso_clock_gettime",
		[]byte{0xb8, 228, 0, 0, 0, 0x0f, 0x05, // mov eax, 228; syscall
			0x85, 0xff, 0x75, 13, // test edi, edi; jne ret: only CLOCK_REALTIME
			0x48, 0xb9}, // mov rcx, offset
		[]byte{0x48, 0x01, 0x0e, 0xc3}}, // add [rsi], rcx; ret
	{"__vdso_gettimeofday",
		[]byte{0xb8, 96, 0, 0, 0, 0x0f, 0x05, // mov eax, 96; syscall
			0x48, 0x85, 0xff, 0x74, 13, // test rdi, rdi; je ret
			0x48, 0xb9},
		[]byte{0x48, 0x01, 0x0f, 0xc3}}, // add [rdi], rcx; ret
	{"__vdso_time",
		[]byte{0xb8, 201, 0, 0, 0, 0x0f, 0x05, // mov eax, 201; syscall
			0x48, 0xb9},
		[]byte{0x48, 0x01, 0xc8, // add rax, rcx
			0x48, 0x85, 0xff, 0x74, 3, // test rdi, rdi; je ret
			0x48, 0x89, 0x07, 0xc3}}, // mov [rdi], rax; ret
}

const slot = 64 // bytes for each function, at the end of the image

// patch returns the functions' new code, in the zeros at the end of the image, and the jumps to it.
func patch(image []byte, seconds int64) ([]code, error) {
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, fmt.Errorf("read the vDSO: %w", err)
	}
	at := len(image) - slot*len(functions)
	var out []code
	for i, fn := range functions {
		entry := int64(-1)
		for _, s := range symbols {
			if s.Name == fn.name {
				entry = int64(s.Value)
			}
		}
		if entry < 0 {
			return nil, fmt.Errorf("the vDSO has no %s", fn.name)
		}
		body := binary.LittleEndian.AppendUint64(bytes.Clone(fn.before), uint64(seconds))
		body = append(body, fn.after...)
		to := int64(at + i*slot)
		room := image[to : to+slot]
		if !bytes.Equal(room, make([]byte, slot)) && !bytes.HasPrefix(room, fn.before) { // ours from an earlier time
			return nil, errors.New("the vDSO has no room at its end")
		}
		jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(int32(to-entry-5)))
		out = append(out, code{to, body}, code{entry, jump})
	}
	return out, nil
}
