package wal

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
)

// measure returns the batches that g writes and the length of its image.
func measure(g *flow.Group) (count int, length int64) {
	for _, a := range g.InOrder() {
		count++
		length += int64(len(a.Batch))
	}
	return count, headSize + int64(count)*entrySize + length
}

// Image makes the image of g, which is the one copy of every batch, and has the appends
// refer to it. The head is left to the stage, which alone knows the group's place. A group
// with nothing to write has no image. It waits for memory, and fails when ctx ends or
// the group is larger than a segment can be. Safe for concurrent use.
func (l *Log) Image(ctx context.Context, g *flow.Group) error {
	count, length := measure(g)
	if count == 0 {
		return nil
	}
	if most := int64(maxGroup - blockfs.BlockSize - sealRoom); length > most {
		return fmt.Errorf("a group of %d bytes is more than the %d that a segment can have", length, most)
	}
	image, err := l.pool.Get(ctx, int(blockfs.AlignUp(length)))
	if err != nil {
		return err
	}
	g.Image, g.Batches, g.Length = image, count, int(length)
	g.Sum = fill(image.Bytes(), g)
	return nil
}

// fill writes the table and the batches of g behind the room for the head, has the
// appends refer to them, and returns the checksum of the batches.
func fill(image []byte, g *flow.Group) (sum uint32) {
	row, at := headSize, headSize+g.Batches*entrySize
	for _, a := range g.InOrder() {
		e := tableRow{partition: a.Partition, epoch: a.Epoch, base: a.BaseOffset, size: len(a.Batch)}
		e.encode(image[row:])
		sum = addBatch(sum, a.Batch)
		end := at + copy(image[at:], a.Batch)
		a.Batch, a.At = image[at:end:end], at
		row, at = row+entrySize, end
	}
	clear(image[at:])
	return sum
}
