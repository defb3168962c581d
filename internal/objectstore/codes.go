package objectstore

import "net/http"

// meaning is what an error code of a store says.
type meaning struct {
	class class
	do    string // to whoever runs the broker, of what is refused
}

// What is to be done about refusals.
const (
	doBucket      = "there is no such bucket; create it or correct the URL"
	doClock       = "this machine's clock is off; set it"
	doRegion      = "the bucket is in another region; put ?region=... into the URL"
	doCredentials = "the credentials are wrong or have expired; correct them"
	doAllow       = "access is denied; allow these credentials to read, write, delete and list objects in the bucket"
	doKey         = "the key that the bucket is encrypted with cannot be used; enable it, and allow these credentials to encrypt and decrypt with it"
	doArchived    = "the object was moved to an archive; restore it, and take the broker's prefix out of the lifecycle rule that moves objects"
	doRetained    = "the bucket forbids changes for a while (retention, object lock, legal hold); use one without"
	doAccount     = "the account is disabled or not paid for; see the store's console"
	doName        = "this cannot be the name of a bucket; correct the URL"
	doRoom        = "the store is full, or a quota is used up; make room or raise it"
	doRequest     = "the store does not take this request; see whether it knows conditional writes and today's checksums"
	doCertificate = "the store's certificate is not trusted here; add its CA to the system's or correct the URL"
	doElsewhere   = "the bucket is elsewhere; correct the region or the endpoint in the URL"
)

// codes has what the stores' own error codes mean: they say more than the status of HTTP
// does, and sometimes otherwise. What is not here goes by its status. A code of several
// stores means the same in all.
var codes = map[string]meaning{
	// S3 and what speaks its protocol.
	"SlowDown":                           {classThrottle, ""},
	"Throttling":                         {classThrottle, ""},
	"ThrottlingException":                {classThrottle, ""},
	"RequestLimitExceeded":               {classThrottle, ""},
	"TooManyRequests":                    {classThrottle, ""},
	"ServiceUnavailable":                 {classThrottle, ""},
	"RequestTimeout":                     {classRetry, ""},
	"InternalError":                      {classRetry, ""},
	"OperationAborted":                   {classRetry, ""},
	"ConditionalRequestConflict":         {classRetry, ""},
	"BadDigest":                          {classRetry, ""},
	"IncompleteBody":                     {classRetry, ""},
	"XAmzContentSHA256Mismatch":          {classRetry, ""},
	"NoSuchKey":                          {classMissing, ""},
	"NotFound":                           {classMissing, ""},
	"InvalidRange":                       {classShort, ""},
	"PreconditionFailed":                 {classTaken, ""},
	"NoSuchUpload":                       {classTaken, ""},
	"NoSuchBucket":                       {classRefused, doBucket},
	"InvalidBucketName":                  {classRefused, doName},
	"AccessDenied":                       {classRefused, doAllow},
	"AllAccessDisabled":                  {classRefused, doAllow},
	"InvalidAccessKeyId":                 {classRefused, doCredentials},
	"XAdminUserNotFound":                 {classRefused, doCredentials}, // versitygw, with 404
	"SignatureDoesNotMatch":              {classRefused, doCredentials},
	"InvalidToken":                       {classRefused, doCredentials},
	"ExpiredToken":                       {classRefused, doCredentials},
	"TokenRefreshRequired":               {classRefused, doCredentials},
	"InvalidSecurity":                    {classRefused, doCredentials},
	"RequestTimeTooSkewed":               {classRefused, doClock},
	"RequestExpired":                     {classRefused, doClock},
	"PermanentRedirect":                  {classRefused, doRegion},
	"AuthorizationHeaderMalformed":       {classRefused, doRegion},
	"IllegalLocationConstraintException": {classRefused, doRegion},
	"TemporaryRedirect":                  {classRefused, doElsewhere},
	"AccountProblem":                     {classRefused, doAccount},
	"NotSignedUp":                        {classRefused, doAccount},
	"InvalidObjectState":                 {classRefused, doArchived},
	"KMS.DisabledException":              {classRefused, doKey},
	"KMS.NotFoundException":              {classRefused, doKey},
	"KMS.InvalidStateException":          {classRefused, doKey},
	"KMS.KMSInvalidStateException":       {classRefused, doKey},
	"QuotaExceeded":                      {classRefused, doRoom},
	"XMinioStorageFull":                  {classRetry, ""}, // an operator makes room while the WAL has the records
	"InvalidRequest":                     {classRefused, doRequest},
	"InvalidArgument":                    {classRefused, doRequest},
	"NotImplemented":                     {classRefused, doRequest},

	// Azure.
	"ServerBusy":                           {classThrottle, ""},
	"OperationTimedOut":                    {classRetry, ""},
	"Md5Mismatch":                          {classRetry, ""},
	"LeaseIdMissing":                       {classRetry, ""},
	"ContainerBeingDeleted":                {classRetry, ""}, // one of that name may be made in a while
	"BlobNotFound":                         {classMissing, ""},
	"BlobAlreadyExists":                    {classTaken, ""},
	"ConditionNotMet":                      {classTaken, ""},
	"TargetConditionNotMet":                {classTaken, ""},
	"ContainerNotFound":                    {classRefused, doBucket},
	"ResourceNotFound":                     {classRefused, doBucket},
	"ContainerDisabled":                    {classRefused, doAccount},
	"AccountIsDisabled":                    {classRefused, doAccount},
	"AuthenticationFailed":                 {classRefused, doCredentials},
	"NoAuthenticationInformation":          {classRefused, doCredentials},
	"InvalidAuthenticationInfo":            {classRefused, doCredentials},
	"AuthorizationFailure":                 {classRefused, doAllow + "; the account's network rules may be in the way"},
	"AuthorizationPermissionMismatch":      {classRefused, doAllow},
	"AuthorizationProtocolMismatch":        {classRefused, doAllow},
	"AuthorizationSourceIPMismatch":        {classRefused, doAllow},
	"InsufficientAccountPermissions":       {classRefused, doAllow},
	"KeyBasedAuthenticationNotPermitted":   {classRefused, "the account takes no keys; sign in with an identity"},
	"BlobArchived":                         {classRefused, doArchived},
	"BlobBeingRehydrated":                  {classRetry, ""},
	"BlobImmutableDueToPolicy":             {classRefused, doRetained},
	"BlobImmutableDueToLegalHold":          {classRefused, doRetained},
	"InvalidResourceName":                  {classRefused, doName},
	"FeatureVersionMismatch":               {classRefused, doRequest},
	"UnsupportedHeader":                    {classRefused, doRequest},
	"ApiNotSupportedForAccount":            {classRefused, doRequest},
	"BlobTypeNotSupported":                 {classRefused, doRequest},
	"BlobAccessTierNotSupportedForAccount": {classRefused, doRequest},

	// GCS, by the reason in its answer.
	"rateLimitExceeded":             {classThrottle, ""}, // 429, and 403 of old
	"userRateLimitExceeded":         {classThrottle, ""},
	"backendError":                  {classRetry, ""},
	"conditionNotMet":               {classTaken, ""},
	"authError":                     {classRefused, doCredentials},
	"required":                      {classRefused, doCredentials},
	"forbidden":                     {classRefused, doAllow},
	"insufficientPermissions":       {classRefused, doAllow},
	"accountDisabled":               {classRefused, doAccount},
	"billingNotEnabled":             {classRefused, doAccount},
	"retentionPolicyNotMet":         {classRefused, doRetained},
	"objectUnderActiveHold":         {classRefused, doRetained},
	"cloudKmsDisabledKey":           {classRefused, doKey},
	"cloudKmsCannotChangeKeyName":   {classRefused, doKey},
	"cloudKmsBadKey":                {classRefused, doKey},
	"cloudKmsEncryptionKeyNotFound": {classRefused, doKey},

	certificateCode: {classRefused, doCertificate},
}

// certificateCode stands for a store whose certificate is not trusted; no store says it.
const certificateCode = "certificate"

// advice says what to do about a refusal.
func advice(v verdict) string {
	if m := codes[v.code]; m.do != "" {
		return m.do
	}
	switch v.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return doAllow
	case http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return doElsewhere
	}
	return doRequest
}
