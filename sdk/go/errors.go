package sluice

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"

	"github.com/quic-go/quic-go"
)

var (
	// ErrUntrusted: the broker's certificate is not signed by a known authority, or
	// is for another name or time.
	ErrUntrusted = errors.New("the broker is not trusted")
	// ErrCertificateRefused: the broker wants a client certificate and got none, or
	// one that it does not accept.
	ErrCertificateRefused = errors.New("the broker refuses the client certificate")
	// ErrNotSluice: something else answers at this address.
	ErrNotSluice = errors.New("no Sluice broker answers")
)

// permanent is an error that trying again does not help against. kgo knows such
// errors of dials by permission being denied.
type permanent struct {
	kind error
	msg  string
}

func (e *permanent) Error() string   { return e.kind.Error() + ": " + e.msg }
func (e *permanent) Unwrap() []error { return []error{e.kind, syscall.EACCES} }

// dialError makes err the error of a dial.
func dialError(network, host string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return err
	}
	return &net.OpError{Op: "dial", Net: network, Addr: address(host), Err: explained(err)}
}

// explained says what to do about errors that trying again does not help against.
func explained(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var remote *quic.TransportError
	switch {
	case errors.As(err, &unknown):
		return &permanent{ErrUntrusted, "an unknown authority has signed its certificate; give the CA file of that cluster (--ca, or CAFile)"}
	case errors.As(err, &name):
		return &permanent{ErrUntrusted, name.Error() + "; connect by one of its names, or set ServerName"}
	case errors.As(err, &invalid):
		return &permanent{ErrUntrusted, invalid.Error()}
	case errors.As(err, &remote) && remote.ErrorCode.IsCryptoError():
		return cryptoError(remote)
	case errors.Is(err, fs.ErrPermission):
		return &permanent{fs.ErrPermission, err.Error()}
	}
	return err
}

// TLS alerts, RFC 8446 section 6.
const (
	alertBadCertificate      = 42
	alertUnsupported         = 43
	alertCertificateExpired  = 45
	alertCertificateUnknown  = 46
	alertUnknownAuthority    = 48
	alertCertificateRequired = 116
	alertNoProtocol          = 120
)

// cryptoError translates a TLS alert that the other end has sent, or that was
// sent to it.
func cryptoError(e *quic.TransportError) error {
	switch alert := uint64(e.ErrorCode) - 0x100; {
	case alert == alertNoProtocol:
		return &permanent{ErrNotSluice, "the server speaks another protocol over QUIC; check the port"}
	case !e.Remote:
		return e
	case alert == alertCertificateRequired:
		return &permanent{ErrCertificateRefused, "it wants one; give a certificate and its key (--cert and --key, or CertFile and KeyFile)"}
	case alert == alertBadCertificate, alert == alertUnsupported, alert == alertCertificateExpired,
		alert == alertCertificateUnknown, alert == alertUnknownAuthority:
		return &permanent{ErrCertificateRefused, fmt.Sprintf("%v; give one that an authority of the broker has signed and that is valid now", tls.AlertError(alert))}
	}
	return e
}

// refused explains an error of a connection by which the broker has turned the
// client away after the handshake, as TLS 1.3 has it with client certificates.
func refused(err error) error {
	var remote *quic.TransportError
	if err == nil || !errors.As(err, &remote) || !remote.Remote || !remote.ErrorCode.IsCryptoError() {
		return err
	}
	why := cryptoError(remote)
	if why == error(remote) {
		return err
	}
	return &net.OpError{Op: "dial", Net: "quic", Err: why}
}

// lost is the error of a connection that is gone; kgo tries such requests again.
func (c *stream) lost() error {
	return &net.OpError{Op: "read", Net: "quic", Source: c.LocalAddr(), Addr: c.RemoteAddr(),
		Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// address is a HOST:PORT as it was given.
type address string

func (a address) Network() string { return "quic" }
func (a address) String() string  { return string(a) }
