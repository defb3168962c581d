// Package objectstore is the door to the object store: whole objects go in once
// and never change, ranges come out.
//
// It wraps a gocloud.dev bucket, one of
//
//	file:///directory     a local folder, made if it is not there; synced before Put returns
//	mem://                memory, for tests
//	s3://bucket           Amazon S3 and what speaks its protocol
//	gs://bucket           Google Cloud Storage
//	azblob://container    Azure Blob Storage
//
// # What it adds
//
//   - Put never overwrites. A body that breaks off leaves no object.
//   - A Put whose outcome got lost (it was stored, the answer was not heard, the
//     next attempt finds the key taken) is settled: if what is there has the length
//     and the CRC32C of what was sent, it is ours and Put has succeeded. Keys hold
//     random UUIDs, so nobody else stores the same bytes under the same key. The
//     object is read back for that, since no checksum is kept by every store; it
//     happens only after a fault.
//   - A range is exactly what was asked for, or an error. One that breaks off is
//     asked for again from where it broke off.
//   - Requests that can succeed later are tried again, with full jitter and an
//     exponential bound; others fail at once with one sentence that says what to do
//     (ErrRefused). Which is which is one table, in classify.go.
//   - One limit on requests in flight over reads and writes, reads first, that halves
//     when the store says SlowDown (503, 429) or stops answering and grows by one per
//     round of successes (limiter.go).
//   - A bandwidth limit on uploads, on the wire.
//   - A request or a body that moves no byte for Config.Stall counts as timed out.
//
// What fails: ErrExists, ErrNotFound, ErrRefused (trying again does not help),
// ErrUnavailable (it was tried often enough for now), or the context's error. After
// any error of Put but ErrExists and ErrRefused the object may or may not be there,
// also later: a request that was given up can still arrive. It can never replace an
// object, but it can bring back a deleted one; whoever deletes what a broken Put may
// have left must do so again after a while.
//
// Who owns the bytes: ReadRange's result is the caller's. Memory a Put takes: none
// where PutSized sends one request; else for S3 at most 16 MiB + (PartConcurrency+1) x
// PartBytes, for Azure PartConcurrency x PartBytes, for GCS PartBytes.
//
// # Settings of each store
//
// s3://bucket: credentials as the AWS SDK finds them (AWS_ACCESS_KEY_ID and
// AWS_SECRET_ACCESS_KEY, AWS_PROFILE and the shared files, web identity, the
// container's or the instance's role). In the URL: region, endpoint (for
// S3-compatible stores, with http:// or https://), use_path_style=true (most of those
// need it), profile, role (an ARN to assume), anonymous, ssetype and kmskeyid
// (encryption), dualstack, fips, accelerate, request_checksum_calculation=when_required
// and response_checksum_validation=when_required (stores that do not know the
// checksums of 2025). The bucket needs a lifecycle rule that aborts incomplete
// multipart uploads, a day old: a broker that is killed leaves parts behind.
//
//	s3://sluice?region=eu-central-1
//	s3://sluice?endpoint=http://127.0.0.1:9000&use_path_style=true&region=us-east-1
//
// gs://bucket: application default credentials (GOOGLE_APPLICATION_CREDENTIALS,
// gcloud's, the metadata server). In the URL: anonymous=true, endpoint (of the JSON
// API, ending in /storage/v1/; also STORAGE_EMULATOR_HOST), universe_domain.
//
// azblob://container: AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or
// AZURE_STORAGE_SAS_TOKEN, or AZURE_STORAGE_CONNECTION_STRING, or the default chain of
// azidentity (environment, workload identity, managed identity, az). In the URL:
// storage_account, domain, protocol, localemu=true, cdn.
package objectstore
