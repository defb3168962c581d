// Package storetest tests objectstore against real servers: versitygw for S3,
// fake-gcs-server for GCS and Azurite for Azure, all on loopback and started by
// the tests. It is a separate module, so that their dependencies are not the
// product's. `make stores` builds the servers and runs it.
package storetest
