//go:build !linux

package quicnet

import "net"

// coalescedBytes is 0: nothing is coalesced here.
const coalescedBytes = 0

// coalesce returns nil: only Linux coalesces datagrams.
func coalesce(*net.UDPConn, batchReader, *SocketStats) batchReader { return nil }
