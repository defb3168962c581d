//go:build !linux

package quicnet

// ReportRefused has no effect here: a dial to a closed port times out.
func ReportRefused(*Socket, bool) {}
