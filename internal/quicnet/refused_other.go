//go:build !linux

package quicnet

import "net"

// ReportRefused does nothing here: a dial learns from silence that nobody listens.
func ReportRefused(*net.UDPConn, bool) {}
