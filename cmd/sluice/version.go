package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func newVersion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			return c.result(map[string]any{"version": version, "go": runtime.Version(), "platform": platform},
				"sluice %s (%s, %s)", version, runtime.Version(), platform)
		},
	}
}
