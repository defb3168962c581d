package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

// memoryUse is a line of cluster memory.
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
		Use: "memory", Short: "Show what the memory of a broker is charged to", Args: cobra.NoArgs,
		Long: `Shows each use of memory of one broker: bytes in use, its limit, the setting of the
limit, and what it holds. Their sum does not have what the process itself needs.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var lines []memoryUse
			if err := c.ask(cmd.Context(), http.MethodGet, admin, "/memory", nil, &lines); err != nil {
				return err
			}
			for _, l := range lines {
				if err := c.result(l, "%-14s %8s of %8s  %s", l.Use, mebibytes(l.Bytes), mebibytes(l.Limit), l.Holds+setBy(l.Setting)); err != nil {
					return err
				}
			}
			return nil
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
