package adminhttp

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
)

// ParseHosts parses a comma-separated list of names and addresses, such as
// "queue.example.com, 10.0.0.5".
func ParseHosts(list string) ([]string, error) {
	var hosts []string
	for one := range strings.SplitSeq(list, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue
		}
		host, ok := hostname(one)
		if !ok || host == "" || strings.Trim(one, "[]") != one && !strings.HasSuffix(one, "]") || hasPort(one) {
			return nil, fmt.Errorf("%q is not the name or address of a host; give names without http:// and without a port, with commas between them", one)
		}
		hosts = append(hosts, host)
	}
	return hosts, nil
}

// hostname returns the host of a Host header: in lower case, without a port, the brackets
// of IPv6, and the dot that ends an absolute name.
func hostname(header string) (host string, ok bool) {
	host = header
	if hasPort(header) {
		h, port, err := net.SplitHostPort(header)
		if _, bad := strconv.ParseUint(port, 10, 16); err != nil || port != "" && bad != nil || header[0] == '[' && !strings.Contains(h, ":") {
			return "", false
		}
		host = h
	} else if strings.HasPrefix(host, "[") {
		if host, ok = strings.CutSuffix(host[1:], "]"); !ok || !strings.Contains(host, ":") {
			return "", false
		}
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return canonical(ip), true
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host, !strings.ContainsAny(host, "[]:/@*\\ ")
}

// hasPort reports whether a port follows the host. An IPv6 address without brackets has none.
func hasPort(header string) bool {
	colon := strings.LastIndexByte(header, ':')
	return colon >= 0 && colon > strings.LastIndexByte(header, ']') && (header[0] == '[' || strings.Count(header, ":") == 1)
}

// canonical returns the only form of an address: IPv4 not mapped to IPv6, no zone.
func canonical(ip netip.Addr) string { return ip.Unmap().WithZone("").String() }

// hosts are the allowed values of Host.
type hosts map[string]bool

func newHosts(names []string) hosts {
	h := hosts{"localhost": true}
	for _, name := range names {
		host, ok := hostname(name)
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			continue // means all addresses of the machine
		}
		if ok && host != "" {
			h[host] = true
		}
	}
	return h
}

// allows reports whether a request is for this server.
func (h hosts) allows(r *http.Request) bool {
	host, ok := hostname(r.Host)
	if !ok || host == "" {
		return false
	}
	if h[host] {
		return true
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if ip.IsLoopback() {
		return true
	}
	at, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && canonical(at.AddrPort().Addr()) == host
}
