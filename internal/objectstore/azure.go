package objectstore

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob"
	sdkblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blockblob"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// openAzure opens azblob://container, with URL parameters and environment as
// documented by gocloud; only the client is created here, for its transport and
// its retries.
func openAzure(ctx context.Context, u *url.URL, client *http.Client, again policy.Policy) (*blob.Bucket, error) {
	opts := &container.ClientOptions{}
	opts.Transport = client
	opts.Retry.MaxRetries = -1 // done by again
	opts.PerCallPolicies = []policy.Policy{again}
	service := azureblob.NewDefaultServiceURLOptions()
	if service.SASToken != "" && (u.Query().Has("domain") || u.Query().Has("protocol") || u.Query().Has("storage_account")) {
		return nil, fmt.Errorf("with AZURE_STORAGE_SAS_TOKEN set, the URL must not name another account, domain or protocol: the token would be sent there")
	}
	opener := azureblob.URLOpener{ServiceURLOptions: *service,
		MakeClient: func(s azureblob.ServiceURL, c azureblob.ContainerName) (*container.Client, error) {
			return azureClient(string(s), string(c), service.SASToken != "", opts)
		}}
	return opener.OpenBucketURL(ctx, u)
}

// azureClient uses the first credentials that exist: key, SAS token (which is in
// the service URL), connection string, azidentity's chain.
func azureClient(service, name string, sas bool, opts *container.ClientOptions) (*container.Client, error) {
	u, err := url.Parse(service)
	if err != nil {
		return nil, fmt.Errorf("the service URL: %w", err)
	}
	target := u.JoinPath(name).String()
	account, key := os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY")
	connection := os.Getenv("AZURE_STORAGE_CONNECTION_STRING")
	if connection == "" {
		connection = os.Getenv("AZURE_STORAGEBLOB_CONNECTIONSTRING")
	}
	switch {
	case account != "" && key != "":
		shared, err := azblob.NewSharedKeyCredential(account, key)
		if err != nil {
			return nil, fmt.Errorf("AZURE_STORAGE_KEY is not a key: %w", err)
		}
		return container.NewClientWithSharedKeyCredential(target, shared, opts)
	case sas:
		return container.NewClientWithNoCredential(target, opts)
	case connection != "":
		return container.NewClientFromConnectionString(connection, name, opts)
	}
	chain, err := azidentity.NewDefaultAzureCredential(nil)
	if err != nil {
		return nil, fmt.Errorf("no Azure credentials; set AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY, or sign in: %w", err)
	}
	return container.NewClient(target, chain, opts)
}

// azureOnePut uses Put Blob, where gocloud would stage blocks.
func azureOnePut(bucket *blob.Bucket) onePut {
	var client *container.Client
	if !bucket.As(&client) {
		return nil
	}
	return func(ctx context.Context, key string, body *rewinder) error {
		_, err := client.NewBlockBlobClient(key).Upload(ctx, body, &blockblob.UploadOptions{
			HTTPHeaders:      &sdkblob.HTTPHeaders{BlobContentType: to.Ptr(contentType)},
			AccessConditions: &sdkblob.AccessConditions{ModifiedAccessConditions: &sdkblob.ModifiedAccessConditions{IfNoneMatch: to.Ptr(azcore.ETagAny)}},
		})
		return err
	}
}
