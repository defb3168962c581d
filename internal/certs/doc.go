// Package certs makes and reads the certificates that brokers and clients prove
// themselves with.
//
// In: a directory. Ensure makes a certificate authority and a broker certificate
// in it, once, and renews the latter before it ends; Issue adds client
// certificates for mTLS. Out: tls.Config values for both ends, from these files or
// from any others in PEM form. Servers take up files that were replaced without a
// restart.
//
// Keys are ECDSA P-256 in PKCS #8, readable by their owner alone. A file appears
// whole and synced or not at all.
package certs
