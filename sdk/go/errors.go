package sluice

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/quic-go/quic-go"
)

var (
	// ErrUntrusted means that the broker's certificate is not signed by a known authority, is
	// for another name, or is not valid at this time.
	ErrUntrusted = errors.New("the broker is not trusted")
	// ErrCertificateRefused means that the broker requires a client certificate and got none,
	// or one that it does not accept.
	ErrCertificateRefused = errors.New("the broker refuses the client certificate")
	// ErrNotSluice means that something other than a Sluice broker answers at this address.
	ErrNotSluice = errors.New("no Sluice broker answers")
)

// permanent is an error that a retry does not help against. kgo recognizes such dial errors by
// a denied permission.
type permanent struct {
	kind error
	msg  string
}

func (e *permanent) Error() string   { return e.kind.Error() + ": " + e.msg }
func (e *permanent) Unwrap() []error { return []error{e.kind, syscall.EACCES} }

// dialError wraps err as the error of a dial.
func dialError(network, host string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return err
	}
	return &net.OpError{Op: "dial", Net: network, Addr: address(host), Err: explained(err)}
}

// silence is the error of a dial without a response. It is a timeout, which kgo retries.
type silence struct{ err error }

func (e *silence) Error() string {
	return "no answer came in time; check the address, that a broker listens there, and that no firewall is in the way (QUIC needs UDP)"
}
func (e *silence) Unwrap() error   { return e.err }
func (e *silence) Timeout() bool   { return true }
func (e *silence) Temporary() bool { return true }

// explained adds advice to errors that a retry does not help against.
func explained(err error) error {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var untrusted *tls.CertificateVerificationError
	var remote *quic.TransportError
	var op *net.OpError
	var record tls.RecordHeaderError
	var handshake *quic.HandshakeTimeoutError
	var idle *quic.IdleTimeoutError
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &handshake), errors.As(err, &idle):
		return &silence{err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.NewSyscallError("connect", syscall.ECONNREFUSED) // drops the wrapping of a socket error
	case errors.As(err, &unknown):
		return &permanent{ErrUntrusted, "its certificate is signed by an unknown authority; give the CA file of that cluster (--ca, or CAFile)"}
	case errors.As(err, &name):
		return &permanent{ErrUntrusted, name.Error() + "; connect by one of its names, or set ServerName"}
	case errors.As(err, &untrusted):
		return &permanent{ErrUntrusted, untrusted.Err.Error()}
	case errors.As(err, &remote) && remote.ErrorCode.IsCryptoError():
		return cryptoError(remote)
	case errors.As(err, &record):
		return &permanent{ErrNotSluice, "the port speaks no TLS; check it, or use the transport tcp"}
	case errors.As(err, &op) && op.Op == "remote error":
		return remoteAlert(op.Err.Error(), err)
	case errors.Is(err, fs.ErrPermission):
		return &permanent{fs.ErrPermission, err.Error()}
	}
	return err
}

// cryptoError translates a TLS alert that either end has sent.
func cryptoError(e *quic.TransportError) error {
	const noProtocol = 120 // RFC 8446, section 6
	alert := tls.AlertError(uint64(e.ErrorCode) - 0x100)
	if !e.Remote && alert != noProtocol {
		return e
	}
	return remoteAlert(alert.Error(), e)
}

// refused explains a connection error by which the broker has rejected the client after the
// handshake, as TLS 1.3 does with client certificates.
func refused(err error) error {
	if err == nil {
		return nil
	}
	var remote *quic.TransportError
	var op *net.OpError
	switch {
	case errors.As(err, &remote) && remote.Remote && remote.ErrorCode.IsCryptoError():
		if why := cryptoError(remote); !errors.Is(why, remote) {
			return &net.OpError{Op: "dial", Net: "quic", Err: why}
		}
	case errors.As(err, &op) && op.Op == "remote error":
		if why := remoteAlert(op.Err.Error(), err); why != err {
			return &net.OpError{Op: "dial", Net: "tls", Err: why}
		}
	}
	return err
}

// remoteAlert recognizes a TLS alert by its text, since crypto/tls exports no type for it. err
// is the error that contained it.
func remoteAlert(text string, err error) error {
	text = strings.TrimPrefix(text, "tls: ")
	switch {
	case strings.Contains(text, "certificate required"):
		return &permanent{ErrCertificateRefused, "it wants one; give a certificate and its key (--cert and --key, or CertFile and KeyFile)"}
	case strings.Contains(text, "certificate"), strings.Contains(text, "access denied"):
		return &permanent{ErrCertificateRefused, text + "; give one that an authority of the broker has signed and that is valid now (--cert and --key, or CertFile and KeyFile)"}
	case strings.Contains(text, "no application protocol"):
		return &permanent{ErrNotSluice, "the server speaks another protocol; check the port"}
	case strings.Contains(text, "protocol version"), strings.Contains(text, "handshake failure"), strings.Contains(text, "insufficient security"):
		return &permanent{ErrNotSluice, "the server requires TLS parameters that this client does not support (" + text + "); check the port, and the versions on both ends"}
	case strings.Contains(text, "unrecognized name"):
		return &permanent{ErrUntrusted, "it does not know the name used to reach it; set ServerName"}
	}
	return err
}

// lost is the error of a connection that is gone; kgo retries such requests.
func (c *stream) lost() error {
	return &net.OpError{Op: "read", Net: "quic", Source: c.LocalAddr(), Addr: c.RemoteAddr(),
		Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

// address is a HOST:PORT as given.
type address string

func (a address) Network() string { return "quic" }
func (a address) String() string  { return string(a) }
