package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
)

// Sluice is a development node of Sluice, on loopback.
type Sluice struct {
	Binary string
	Args   []string // further ones
}

// Name returns the system's name.
func (Sluice) Name() string { return "sluice" }

// Prepare returns the node.
func (s Sluice) Prepare(_ context.Context, hosts []Host, dirs []string) ([]Node, error) {
	if len(hosts) != 1 {
		return nil, errors.New("a node of `sluice dev` is alone; SluiceNodes are several")
	}
	addrs, err := addresses(hosts)
	admins, err2 := addresses(hosts)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	args := append([]string{"dev", "--data-dir", filepath.Join(dirs[0], "data"), "--listen", addrs[0], "--admin", admins[0]}, s.Args...)
	return []Node{{Addr: addrs[0], Path: s.Binary, Args: args, Ready: func(ctx context.Context) error {
		return readyz(ctx, admins[0])
	}}}, nil
}

// readyz asks a node's admin address whether it is ready.
func readyz(ctx context.Context, admin string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/readyz", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz answers %s", resp.Status)
	}
	return nil
}
