package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/sluicemq/sluice/config"
	"github.com/sluicemq/sluice/internal/memory"
)

// memoryTable returns the memory table as in docs/operations.md.
func memoryTable() string {
	var b strings.Builder
	b.WriteString("| use | limit | by default | holds | at the limit |\n|---|---|---:|---|---|\n")
	sum := int64(0)
	for _, u := range memory.Uses() {
		setting := "follows from other settings"
		if u.Setting != "" {
			setting = "`" + u.Setting + "`"
		}
		n := config.DefaultBroker().MemoryLimit(u)
		sum += n
		fmt.Fprintf(&b, "| `%s` | %s | %d MiB | %s | %s |\n", u.Name, setting, n>>20, u.Holds, u.Full)
	}
	fmt.Fprintf(&b, "| together | | %d MiB | | |\n", sum>>20)
	fmt.Fprintf(&b, "| the process itself | | %d MiB | the program, metadata and partitions, garbage | |\n", memory.Rest>>20)
	return b.String()
}

// docs/operations.md has the same memory map as the code.
func TestMemoryMapIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), memoryTable()) {
		t.Errorf("docs/operations.md must have this table:\n%s", memoryTable())
	}
}

// The defaults fit into 1 GiB; settings that exceed the limit are refused with a message that
// gives their sum.
func TestSettingsThatDoNotFitAreRefused(t *testing.T) {
	c := config.DefaultBroker()
	c.Memory.LimitBytes = 1 << 30
	if err := c.Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for _, grow := range []func(*config.Broker){
		func(c *config.Broker) { c.Cache.Write.SizeBytes *= 2 },
		func(c *config.Broker) { c.Memory.TailIndexBytes *= 4 },
		func(c *config.Broker) { c.Fetch.SessionBytes *= 2 },
		func(c *config.Broker) { c.ObjectStorage.Upload.Concurrency = 64 },
		func(c *config.Broker) { c.ObjectStorage.Store.MultipartThresholdBytes = 1 << 20 },
		func(c *config.Broker) { c.Groups.MetadataBytes *= 2 },
	} {
		c := c
		grow(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "memory.limit_bytes (1073741824) is less than the limits of everything together") {
			t.Errorf("%+v: %v", c.Memory, err)
		}
		c.Memory.LimitBytes = 0
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}
