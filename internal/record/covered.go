package record

// Uncovered is the start of the batch that its checksum leaves out, and the
// checksum itself. All behind it is covered.
func (b Batch) Uncovered() []byte { return b[:offAttributes] }
