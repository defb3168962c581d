//go:build !linux

package quicnet

// ReportRefused does nothing here: a dial learns from silence that nobody listens.
func ReportRefused(*Socket, bool) {}
