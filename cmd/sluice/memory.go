package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/sluicemq/sluice/internal/memory"
)

// memoryUse is a row of cluster memory.
type memoryUse struct {
	Use     string `json:"use"`
	Setting string `json:"setting,omitempty"`
	Mapped  bool   `json:"mapped"`
	Holds   string `json:"holds"`
	Full    string `json:"full"`
	Bytes   int64  `json:"bytes"`
	Limit   int64  `json:"limit_bytes"`
}

func newClusterMemory(c *cli) *cobra.Command {
	var admin string
	cmd := &cobra.Command{
		Use: "memory", Short: "Show the memory map of a broker", Args: cobra.NoArgs,
		Long: `Shows how one broker uses memory: for each use, the bytes in use, the limit, what it
holds and the setting of the limit; then the sum, which excludes what the process
itself needs.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lines []memoryUse
			if err := c.ask(cmd.Context(), http.MethodGet, admin, "/memory", nil, &lines); err != nil {
				return err
			}
			sum := memoryUse{Use: "together"}
			for _, l := range lines {
				sum.Bytes, sum.Limit = sum.Bytes+l.Bytes, sum.Limit+l.Limit
				if err := c.result(l, "%-14s %8s of %8s  %s", l.Use, mebibytes(l.Bytes), mebibytes(l.Limit), l.Holds+setBy(l.Setting)); err != nil {
					return err
				}
			}
			if c.json {
				return nil // one JSON document per use
			}
			return c.result(sum, "%-14s %8s of %8s  and %s for the process itself", sum.Use, mebibytes(sum.Bytes), mebibytes(sum.Limit), mebibytes(memory.Rest))
		},
	}
	adminFlag(cmd, &admin)
	return cmd
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1fM", float64(n)/(1<<20)) }

func setBy(key string) string {
	if key == "" {
		return ""
	}
	return " (" + key + ")"
}
