package resident

import (
	"os"
	"strings"
	"testing"
)

// The program keeps running, with fewer resident pages of its file than before.
func TestShrinkGivesPagesBack(t *testing.T) {
	before := resident(t)
	n, err := Shrink()
	if err != nil || n == 0 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if after := resident(t); after >= before {
		t.Errorf("%d KiB of files are resident after, %d before", after, before)
	}
}

func TestOnlyTheProgramItselfIsReleased(t *testing.T) {
	for line, want := range map[string]bool{
		"00400000-00d96000 r-xp 00000000 08:01 1234                               /bin/sluice": true,
		"00d96000-01000000 r--p 00996000 08:01 1234                               /bin/sluice": true,
		"01000000-01100000 rw-p 00c00000 08:01 1234                               /bin/sluice": false,
		"7f0000000000-7f0000001000 r-xp 00000000 08:01 99                         /lib/x.so":   false,
		"c000000000-c004000000 rw-p 00000000 00:00 0":                                          false,
		"": false,
	} {
		if _, _, ok := program(line, "/bin/sluice"); ok != want {
			t.Errorf("%q: %v", line, ok)
		}
	}
}

// Pages that the dynamic linker wrote and then made read-only stay: if one read as in the
// file again, the next call into the C library would jump to address 0.
func TestWrittenPagesStay(t *testing.T) {
	const smaps = `00400000-00d96000 r-xp 00000000 08:01 1234                               /bin/sluice
Size:               9816 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
00d96000-00d97000 r--p 00996000 08:01 1234                               /bin/sluice
Anonymous:             4 kB
Swap:                  0 kB
00d97000-00d98000 r--p 00997000 08:01 1234                               /bin/sluice
Anonymous:             0 kB
Swap:                  4 kB
00d98000-00d99000 rw-p 00998000 08:01 1234                               /bin/sluice
Anonymous:             4 kB
Swap:                  0 kB
`
	got, err := unwritten(strings.NewReader(smaps), "/bin/sluice")
	if err != nil || len(got) != 1 || got[0] != (mapping{0x400000, 0xd96000}) {
		t.Errorf("%x, %v", got, err)
	}
}

// resident returns this process's RssFile, in KiB.
func resident(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssFile:"); ok {
			n := 0
			for _, c := range rest {
				if c >= '0' && c <= '9' {
					n = n*10 + int(c-'0')
				}
			}
			return n
		}
	}
	t.Fatal("no RssFile in /proc/self/status")
	return 0
}
