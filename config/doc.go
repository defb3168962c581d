// Package config has the settings of a process as operators write them: TOML
// with one table for each part, units in the names, every key either read or
// refused.
//
// What enters is the text of a file; what leaves is a [Broker] or [Controller]
// that Validate has nothing against, or an error that names file, key and what
// to do. Settings are plain values: the packages that they are for own their
// meaning, and cmd/sluice maps one onto the other.
//
// The shipped files are in the package too, so that the binary can print them.
package config
