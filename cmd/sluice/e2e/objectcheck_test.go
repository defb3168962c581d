package e2e

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// `object check` reports whether a broker can use a store, and leaves no objects in it.
func TestObjectCheck(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "objects")
	file := settings(t, fmt.Sprintf("[object_storage]\nurl = \"file://%s\"\n", dir))
	for _, args := range [][]string{{"file://" + dir}, {"--config", file}} {
		out, errs, code := alone(t, append([]string{"object", "check"}, args...)...)
		if code != 0 || !strings.Contains(out, "file://"+dir+" works for a broker's objects") || strings.Count(errs, ": ok") != 6 {
			t.Errorf("%v: exit %d: %s%s", args, code, out, errs)
		}
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			t.Errorf("left behind: %s, %v", path, err)
		}
		return nil
	})
	for says, args := range map[string][]string{"give either the URL": {}, "give either": {"mem://", "--config", file}} {
		if _, errs, code := alone(t, append([]string{"object", "check"}, args...)...); code != 2 || !strings.Contains(errs, says) {
			t.Errorf("%v: exit %d: %s", args, code, errs)
		}
	}
	for url, says := range map[string]string{"ftp://x": "the URL must be s3://BUCKET", "file://objects/here": "file:///DIRECTORY", "file://": "file:///DIRECTORY"} {
		if _, errs, code := alone(t, "object", "check", url); code != 1 || !strings.Contains(errs, says) {
			t.Errorf("%s: exit %d: %s", url, code, errs)
		}
	}
}
