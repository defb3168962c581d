package config

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// File is a file of settings that is shipped with the binary.
type File struct {
	Name string // such as broker.toml
	Role string // broker or controller
	Text string
}

var (
	//go:embed broker.toml
	brokerText string
	//go:embed controller.toml
	controllerText string
	//go:embed example-development.toml
	developmentText string
	//go:embed example-production.toml
	productionText string
)

// Roles of a File.
const (
	RoleBroker     = "broker"
	RoleController = "controller"
)

// Shipped returns all shipped files.
func Shipped() []File {
	return []File{
		{"broker.toml", RoleBroker, brokerText},
		{"controller.toml", RoleController, controllerText},
		{"example-development.toml", RoleBroker, developmentText},
		{"example-production.toml", RoleBroker, productionText},
	}
}

// FindShipped returns the shipped file of a name, which may lack its .toml.
func FindShipped(name string) (File, error) {
	all := Shipped()
	i := slices.IndexFunc(all, func(f File) bool { return f.Name == name || strings.TrimSuffix(f.Name, ".toml") == name })
	if i >= 0 {
		return all[i], nil
	}
	var names []string
	for _, f := range all {
		names = append(names, strings.TrimSuffix(f.Name, ".toml"))
	}
	return File{}, fmt.Errorf("no settings %q are shipped; there are %s", name, strings.Join(names, ", "))
}
