package wal

import (
	"context"
	"fmt"

	"github.com/sluicemq/sluice/internal/blockfs"
	"github.com/sluicemq/sluice/internal/flow"
)

// measure returns the number of batches that g writes and the length of its
// image.
func measure(g *flow.Group) (count int, length int64) {
	for _, a := range g.InOrder() {
		count++
		length += int64(len(a.Batch))
	}
	return count, headSize + int64(count)*rowSize + length
}

// Image builds the image of g, which holds the only copy made of each batch, and
// points the appends into it. The head is left to the stage, which alone knows
// the group's position. A group with nothing to write has no image. Image waits
// for memory, and fails when ctx ends or the group is larger than a segment can
// be. Safe for concurrent use.
func (l *Log) Image(ctx context.Context, g *flow.Group) error {
	count, length := measure(g)
	if count == 0 {
		return nil
	}
	if most := int64(maxGroup - blockfs.BlockSize - sealReserve); length > most {
		return fmt.Errorf("a group of %d bytes exceeds the %d bytes of a segment", length, most)
	}
	image, err := l.pool.Get(ctx, int(blockfs.AlignUp(length)))
	if err != nil {
		return err
	}
	g.Image, g.Batches, g.Length = image, count, int(length)
	g.Sum = fill(image.Bytes(), g)
	return nil
}

// fill writes the table and the batches of g, leaving space for the head, points
// the appends into the image, and returns the checksum of the batches.
func fill(image []byte, g *flow.Group) (sum uint32) {
	row, at := headSize, headSize+g.Batches*rowSize
	for _, a := range g.InOrder() {
		e := tableRow{partition: a.Partition, epoch: a.Epoch, base: a.BaseOffset, size: len(a.Batch)}
		e.encode(image[row:])
		sum = a.Batch.Extend(sum)
		end := at + copy(image[at:], a.Batch)
		a.Batch, a.At = image[at:end:end], at
		row, at = row+rowSize, end
	}
	clear(image[at:])
	return sum
}
