package consensus

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sluicemq/sluice/internal/meta"
)

// TestOtherHostName: metadata written under another host name is found.
func TestOtherHostName(t *testing.T) {
	dir := t.TempDir()
	c := openInternal(t, dir, quiet)
	if _, err := c.RegisterBroker(t.Context(), meta.Broker{ID: 1}); err != nil {
		t.Fatal(err)
	}
	created(t, c, meta.TopicSpec{Name: "orders", Partitions: 3, Replication: 1})
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := adopt(dir, "another"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "another")); err != nil {
		t.Fatal(err)
	}
	c = openInternal(t, dir, quiet)
	if topic, ok := c.View().TopicByName("orders"); !ok || len(topic.Partitions) != 3 {
		t.Errorf("topic %+v under the new host name", topic)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "third"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := adopt(dir, "fourth"); err == nil {
		t.Error("one of two hosts was chosen")
	}
}
