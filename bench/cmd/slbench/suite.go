package main

import (
	"context"
	"io"
)

func suiteCommand(ctx context.Context, args []string, out io.Writer) error { return nil }
