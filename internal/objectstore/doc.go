// Package objectstore accesses the object store: whole objects are written once
// and never change; ranges are read.
//
// It wraps a gocloud.dev bucket, one of
//
//	file:///directory     a local directory, created if missing; synced before Put returns
//	mem://                memory, for tests
//	s3://bucket           Amazon S3 and compatible stores
//	gs://bucket           Google Cloud Storage
//	azblob://container    Azure Blob Storage
//
// # What it adds
//
//   - Put never overwrites. A body that fails leaves no object.
//   - A Put with an unknown outcome (it was stored, the response was lost, and the
//     retry finds the key taken) is resolved: if the existing object has the length
//     and CRC32C of what was sent, it is ours and Put has succeeded. Keys hold
//     random UUIDs, so nobody else stores the same bytes under the same key. The
//     object is read back for that, since no checksum is kept by every store; it
//     happens only after a fault.
//   - A range is exactly what was requested, or an error. An interrupted read
//     continues where it stopped.
//   - Requests that may succeed later are retried, with full jitter and exponential
//     backoff; others fail at once with a sentence that says what to do (ErrRefused).
//     classify.go has the table.
//   - One limit on requests in flight for reads and writes, with priority for reads.
//     It halves when the store says SlowDown (503, 429) or stops responding, and
//     grows by one per round of successes (limiter.go).
//   - A bandwidth limit on uploads, on the wire.
//   - A request or body that transfers no byte for Config.Stall counts as timed out.
//
// Errors: ErrExists, ErrNotFound, ErrRefused (retrying does not help),
// ErrUnavailable (retries are exhausted for now), or the context's error. After any
// error of Put except ErrExists and ErrRefused the object may or may not exist, also
// later: an abandoned request can still arrive. It can never replace an object, but
// it can bring back a deleted one; whoever deletes what a failed Put may have left
// must do so again after a while.
//
// Ownership: ReadRange's result belongs to the caller. Memory used by a Put: none
// if PutSized sends one request; otherwise for S3 at most 16 MiB + (PartConcurrency+1) x
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
