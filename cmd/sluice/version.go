package main

import (
	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/internal/adminhttp"
)

func newVersion(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			b := adminhttp.ReadBuild(version)
			return c.result(b, "sluice %s (revision %s, %s, %s)", b.Version, b.Revision, b.GoVersion, b.Platform)
		},
	}
}
