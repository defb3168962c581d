// Package config has the settings of a process as operators write them: TOML
// with one table for each part, units in the names, every key either read or
// refused.
//
// What enters is the text of a file; what leaves is a [Broker] or [Controller]
// that Validate has nothing against, or an error that names file, key and what
// to do. The packages that use settings state them, in their Configs
// (see internal/setting); a table here consists of one or more of them. What is here is
// what belongs to no package, and rules across packages. No package but those of cmd imports
// this one.
//
// The shipped files are in the package too, so that the binary can print them. broker.toml and
// controller.toml are written anew by go generate.
//
//go:generate go test . -run TestReferenceFilesAreCurrent -update
package config
