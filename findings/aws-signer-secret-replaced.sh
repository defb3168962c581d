#!/usr/bin/env bash
# aws-sdk-go-v2 v1.47.7, package aws/signer/v4, public Go module.
#
# A v4 Signer keeps the signing key that it derives, by access key ID, region, service and day, and
# does not look at the secret. If the secret of a key is replaced under the same ID, as
# S3-compatible servers with users of their own allow, a process that lives on signs with the old secret until
# the next day (UTC), whatever its credentials provider returns. A new Signer uses the new secret at once.
# AWS itself never reuses an ID, so this shows with other servers only.
#
# Needs Go. Fails if the behaviour is another one.
set -euo pipefail
dir=$(mktemp -d)
trap 'chmod -R u+w "$dir"; rm -rf "$dir"' EXIT
cd "$dir"
cat > main.go <<'G'
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

const emptyBody = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" // SHA-256

func sign(s *v4.Signer, secret string) string {
	req, err := http.NewRequest(http.MethodGet, "http://127.0.0.1/bucket/key", nil)
	if err == nil {
		err = s.SignHTTP(context.Background(), aws.Credentials{AccessKeyID: "USER", SecretAccessKey: secret}, req,
			emptyBody, "s3", "us-east-1", time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	return req.Header.Get("Authorization")
}

func main() {
	old := v4.NewSigner()
	before := sign(old, "first secret")
	after := sign(old, "second secret")
	fresh := sign(v4.NewSigner(), "second secret")
	fmt.Println("the same signer, after the secret was replaced, signs as before:", after == before)
	fmt.Println("a new signer with the new secret signs as the old one does:", fresh == after)
	if after != before || fresh == after {
		os.Exit(1)
	}
}
G
export GOFLAGS=-mod=mod GOMODCACHE="${GOMODCACHE:-$(go env GOMODCACHE)}"
go mod init finding > /dev/null 2>&1
go get github.com/aws/aws-sdk-go-v2@v1.47.7 > /dev/null 2>&1
go run .
