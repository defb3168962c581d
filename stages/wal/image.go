package wal

import (
	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
	"github.com/sluicemq/sluice/internal/partition"
)

// measure returns the batches that g writes and the length of its image.
func measure(g *flow.Group) (count int, length int64) {
	for _, a := range g.InOrder() {
		count++
		length += int64(len(a.Batch))
	}
	return count, headSize + int64(count)*entrySize + length
}

// fill makes the image of g: this is the one copy of every batch. h has
// everything but the checksums, which fill sets.
func fill(h *head, g *flow.Group, image []byte) {
	row, at := headSize, h.end()
	for _, a := range g.InOrder() {
		e := entry{partition: a.Partition, epoch: a.Epoch, base: a.BaseOffset, size: len(a.Batch)}
		e.encode(image[row:])
		h.body = addBatch(h.body, a.Batch)
		row, at = row+entrySize, at+copy(image[at:], a.Batch)
	}
	clear(image[at:])
	h.encode(image)
}

// publish makes the appends of g refer to its image, which is durable now.
func publish(h *head, g *flow.Group, b *blockfs.Buffer) {
	image, at := b.Bytes(), h.end()
	for _, a := range g.InOrder() {
		end := at + len(a.Batch)
		a.Batch = image[at:end:end]
		a.Position = h.position + partition.Position(at)
		at = end
	}
	g.Image, g.Position = b, h.position
}
