// Package certs creates and loads the certificates that brokers and clients authenticate with.
//
// In: a directory. Ensure creates a CA and a broker certificate in it if they are missing, and
// renews the broker certificate before it expires; Issue adds client certificates for mTLS. Out:
// tls.Config values for both ends, from these files or any others in PEM form. Servers pick up
// replaced files without a restart.
//
// Keys are ECDSA P-256 in PKCS #8, readable only by their owner. A file appears complete and
// synced, or not at all.
package certs
