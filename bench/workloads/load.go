package workloads

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

//go:embed *.toml
var shipped embed.FS

// Load reads a workload from a file, or the built-in one of that name.
func Load(name string) (Workload, error) {
	b, err := shipped.ReadFile(name + ".toml")
	if err != nil {
		if b, err = os.ReadFile(name); errors.Is(err, os.ErrNotExist) {
			return Workload{}, fmt.Errorf("workload %q is neither a file nor one of %s", name, strings.Join(Names(), ", "))
		}
	}
	if err != nil {
		return Workload{}, err
	}
	w, err := Parse(b)
	if err != nil {
		return Workload{}, fmt.Errorf("workload %s: %w", name, err)
	}
	return w, nil
}

// Parse parses a workload. An unknown key is an error.
func Parse(b []byte) (Workload, error) {
	w := defaults()
	d := toml.NewDecoder(bytes.NewReader(b)).DisallowUnknownFields()
	if err := d.Decode(&w); err != nil {
		var strict *toml.StrictMissingError
		if errors.As(err, &strict) {
			return w, fmt.Errorf("a key is not known:\n%s", strict.String())
		}
		var wrong *toml.DecodeError
		if errors.As(err, &wrong) {
			return w, fmt.Errorf("%s: %w", strings.Join(wrong.Key(), "."), err)
		}
		return w, err
	}
	return w, w.Validate()
}

// Names returns the sorted names of the built-in workloads.
func Names() []string {
	entries, err := shipped.ReadDir(".")
	if err != nil {
		return nil // the directory is embedded
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = strings.TrimSuffix(path.Base(e.Name()), ".toml")
	}
	slices.Sort(names)
	return names
}
