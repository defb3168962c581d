//go:build !unix

package certs

import "os"

func giveTo(string, os.FileInfo) error { return nil }
