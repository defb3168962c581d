// Package adminhttp is the HTTP server at admin.listen, of brokers and controllers.
//
// It has no authentication, so a web page that the operator has open must not be able to use
// it through the operator's browser. A request is checked in this order:
//
//   - the connection limit, 64. A new one closes the one that has waited for its client the
//     longest;
//   - Host: loopback, the local address of the connection, or a name in [Config]. A page
//     whose own name resolves to this machine (DNS rebinding) sends another one;
//   - for changes and profiles: neither Sec-Fetch-Site nor Origin may indicate another site
//     ([http.CrossOriginProtection]);
//   - for changes: the body is application/json, which an HTML form cannot send, and at most
//     1 MiB;
//   - the limit on concurrent requests, 32. A new one closes the connection whose client has
//     been reading its response for too long. Health checks do not count.
//
// The handlers own their responses. Profiles are served only with Config.Debug, one at a time,
// for at most [maxProfileSeconds].
package adminhttp
