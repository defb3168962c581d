//go:build !linux

package objectstore

import "os"

func createUnnamed(dir string) (unnamed, error) { return named(dir) }

func linkUnnamed(f *os.File, path string) error { return os.Link(f.Name(), path) }

func flush(*os.File, int64, int64) error { return nil }

func uncache(*os.File, int64) {}

func direct(*os.File) bool { return false }

func grow(*os.File, int64, int64) {}
