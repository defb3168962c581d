package objectstore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Unnamed files, and temporary files where the file system has no unnamed ones, become
// objects in the same way: whole, never replacing one, and leaving no trace on failure.
func TestFileBecomesAnObjectOnce(t *testing.T) {
	for name, create := range map[string]func(string) (unnamed, error){"unnamed": createUnnamed, "named": named} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "key")
			for i, content := range []string{"given up", "first", "second"} {
				f, err := create(dir)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString(content); err != nil {
					t.Fatal(err)
				}
				if i > 0 {
					if err := f.publish(path); (i == 1) != (err == nil) || i == 2 && !errors.Is(err, fs.ErrExist) {
						t.Errorf("publish %s: %v", content, err)
					}
				}
				if err := f.discard(); err != nil {
					t.Error(err)
				}
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != "first" {
				t.Errorf("%q, %v", b, err)
			}
			if all, err := os.ReadDir(dir); err != nil || len(all) != 1 {
				t.Errorf("%d files, %v", len(all), err)
			}
		})
	}
}
