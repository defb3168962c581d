package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicemq/sluice/config"
)

// A reload of a file that is just being rewritten changes nothing.
func TestAFileThatIsBeingWritten(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "broker.toml")
	for text, ok := range map[string]bool{"": false, " \n\t\n": false, "[log]\nlevel = \"debug\"\n": true} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := changedFile(file, config.RoleBroker); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, name := range []string{dir, filepath.Join(dir, "missing")} {
		if _, err := changedFile(name, config.RoleBroker); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}
