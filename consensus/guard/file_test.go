package guard

import (
	"bytes"
	"errors"
	"flag"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden file")

func made(t *testing.T) (*File, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "meta.guard")
	f, err := Create(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // a test may have closed it already
	return f, path
}

func reopened(t *testing.T, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestMarksAreKept(t *testing.T) {
	f, path := made(t)
	want := make(map[Replica]Mark)
	for i := range uint64(MaxReplicas) {
		want[Replica{i + 1, 1}] = Mark{Index: 10 * i, Term: i, Vote: 1, Snapshot: i}
	}
	if err := f.Save(want); err != nil {
		t.Fatal(err)
	}
	if err := f.Forget(Replica{3, 1}); err != nil {
		t.Fatal(err)
	}
	delete(want, Replica{3, 1})
	if got := reopened(t, path).Marks(); !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if err := f.Save(map[Replica]Mark{{3, 1}: {}, {1, 2}: {}}); err == nil {
		t.Error("more replicas than fit into a page were accepted")
	}
	if err := f.Save(map[Replica]Mark{{1, 1}: {Index: 1}}); err == nil {
		t.Error("a failed guard accepted a write")
	}
	if got := reopened(t, path).Marks(); !maps.Equal(got, want) {
		t.Errorf("%v after a failure, want %v", got, want)
	}
}

func TestMissing(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "meta.guard")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestTornPage: whatever remains of the page being written, everything saved before is there.
func TestTornPage(t *testing.T) {
	f, path := made(t)
	r := Replica{1, 1}
	for i := range uint64(5) {
		if err := f.Save(map[Replica]Mark{r: {Index: i + 1}}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := encode(f.generation+1, map[Replica]Mark{r: {Index: 6}})
	at := int(f.generation+1) % 2 * pageBytes
	for cut := 0; cut <= pageBytes; cut += 8 {
		torn := bytes.Clone(whole)
		copy(torn[at:], next[:cut])
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		want := uint64(5)
		if bytes.Equal(torn[at:at+pageBytes], next) {
			want = 6
		}
		if got := reopened(t, path).Mark(r).Index; got != want {
			t.Fatalf("index %d when %d bytes of the next page were written, want %d", got, cut, want)
		}
	}
}

// TestDamagedPages: a file without a readable page is refused, and a flipped bit never yields
// marks that were not saved.
func TestDamagedPages(t *testing.T) {
	f, path := made(t)
	r := Replica{1, 1}
	for i := range uint64(2) {
		if err := f.Save(map[Replica]Mark{r: {Index: i + 7, Term: 1}}); err != nil {
			t.Fatal(err)
		}
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"empty": nil, "zeros": make([]byte, 2*pageBytes), "one page": whole[:pageBytes], "longer": append(bytes.Clone(whole), 0),
		"pages swapped": append(bytes.Clone(whole[pageBytes:]), whole[:pageBytes]...)} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(whole)
		b[rapid.IntRange(0, len(b)-1).Draw(t, "byte")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if m := f.Mark(r); m != (Mark{Index: 7, Term: 1}) && m != (Mark{Index: 8, Term: 1}) {
			t.Fatalf("%+v was never saved", m)
		}
	})
}

func TestOtherVersion(t *testing.T) {
	_, path := made(t)
	b, err := os.ReadFile("testdata/version2.golden")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, ErrVersion) {
		t.Error(err)
	}
}

// TestSharedWrites: when Save returns, its marks are on disk, whichever caller wrote them.
func TestSharedWrites(t *testing.T) {
	f, path := made(t)
	var wg sync.WaitGroup
	for shard := range uint64(8) {
		wg.Go(func() {
			r := Replica{shard + 1, 1}
			for i := range uint64(30) {
				if err := f.Save(map[Replica]Mark{r: {Index: i + 1}}); err != nil {
					t.Error(err)
					return
				}
			}
			g, err := Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			defer g.Close()
			if got := g.Mark(r).Index; got != 30 {
				t.Errorf("shard %d: index %d on disk, want 30", r.Shard, got)
			}
		})
	}
	wg.Wait()
	if f.generation > 1+8*30 {
		t.Errorf("%d pages were written for %d changes", f.generation, 8*30)
	}
}

func TestGolden(t *testing.T) {
	marks := map[Replica]Mark{{1, 1}: {Index: 300, Term: 4, Vote: 1, Snapshot: 256}, {2, 1}: {Index: 1, Term: 1}, {17, 1}: {Index: 1 << 40, Term: 1 << 33, Vote: 2}}
	got := append(encode(6, marks), encode(5, nil)...)
	const path = "testdata/guard.golden"
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the format has changed; a new version is needed")
	}
	f := reopened(t, path)
	if !maps.Equal(f.Marks(), marks) {
		t.Errorf("%v", f.Marks())
	}
}

func TestAhead(t *testing.T) {
	at := Mark{Index: 10, Term: 3, Vote: 1, Snapshot: 5}
	for want, marks := range map[bool][]Mark{
		false: {{}, at, {Index: 9, Term: 3, Vote: 1}, {Index: 10, Term: 2, Vote: 2}, {Index: 10, Term: 3}},
		true:  {{Index: 11}, {Term: 4}, {Term: 3, Vote: 2}, {Snapshot: 6}},
	} {
		for _, m := range marks {
			if m.Ahead(at) != want {
				t.Errorf("%+v is ahead of %+v: %v", m, at, !want)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(3, map[Replica]Mark{{1, 1}: {Index: 2}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < pageBytes {
			return
		}
		p := b[:pageBytes]
		if generation, marks, err := decode(p); err == nil && len(marks) <= MaxReplicas && !bytes.Equal(encode(generation, marks), p) {
			again, same, err := decode(encode(generation, marks))
			if err != nil || again != generation || !maps.Equal(same, marks) {
				t.Errorf("%v: %d %v", err, again, same)
			}
		}
	})
}

func BenchmarkSave(b *testing.B) {
	f, err := Create(filepath.Join(b.TempDir(), "meta.guard"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	for i := 0; b.Loop(); i++ {
		if err := f.Save(map[Replica]Mark{{1, 1}: {Index: uint64(i)}}); err != nil {
			b.Fatal(err)
		}
	}
}
