package uring

import "unsafe"

// The kernel's interface, from include/uapi/linux/io_uring.h. The layouts are
// the same on every 64-bit system.
const (
	offRings = 0          // IORING_OFF_SQ_RING, which holds both with singleMap
	offSQEs  = 0x10000000 // IORING_OFF_SQES

	featSingleMap = 1 << 0 // IORING_FEAT_SINGLE_MMAP, Linux 5.4
	featNoDrop    = 1 << 1 // IORING_FEAT_NODROP, Linux 5.5

	opWrite = 23 // IORING_OP_WRITE, Linux 5.6

	registerEventFD = 4 // IORING_REGISTER_EVENTFD, Linux 5.2
)

// submission is struct io_uring_sqe.
type submission struct {
	opcode, flags  uint8
	ioprio         uint16
	fd             int32
	off, addr      uint64
	length, rw     uint32
	tag            uint64
	buffer, person uint16
	file           int32
	_              [2]uint64
}

// completion is struct io_uring_cqe.
type completion struct {
	tag   uint64
	res   int32
	flags uint32
}

// submissionOffsets is struct io_sqring_offsets.
type submissionOffsets struct {
	head, tail, mask, entries, flags, dropped, array, _ uint32
	_                                                   uint64
}

// completionOffsets is struct io_cqring_offsets.
type completionOffsets struct {
	head, tail, mask, entries, overflow, cqes, flags, _ uint32
	_                                                   uint64
}

// params is struct io_uring_params.
type params struct {
	sqEntries, cqEntries, flags, threadCPU, threadIdle, features, wq uint32
	_                                                                [3]uint32
	sq                                                               submissionOffsets
	cq                                                               completionOffsets
}

// The kernel's struct sizes; a mistake above does not compile.
var (
	_ [64]byte  = [unsafe.Sizeof(submission{})]byte{}
	_ [16]byte  = [unsafe.Sizeof(completion{})]byte{}
	_ [120]byte = [unsafe.Sizeof(params{})]byte{}
)
