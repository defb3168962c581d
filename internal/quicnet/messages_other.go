//go:build !linux

package quicnet

import "net"

// messages is used only on Linux. Elsewhere, the UDPConn does everything.
type messages struct{}

func newMessages(*net.UDPConn) *messages { return nil }

func (m *messages) reader(plain batchReader, _ int) batchReader { return plain }

func (m *messages) takes(*net.UDPAddr) bool { return false }

func (m *messages) write(_, _ []byte, _ *net.UDPAddr) (n, oobn int, err error) { return 0, 0, nil }
