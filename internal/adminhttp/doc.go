// Package adminhttp is the HTTP server behind admin.listen, of a broker and of a controller.
//
// It has no password, so a web page that the operator has open must not be able to use it
// through the operator's browser. What comes in passes, in this order:
//
//   - the bound on connections: 64, of which the one that has waited for its client the
//     longest goes for a new one;
//   - Host: loopback, the address that the connection came in at, or a name of [Config]. A
//     page that has its own name resolve to this machine (DNS rebinding) has another one;
//   - for what changes something, and for profiles: neither Sec-Fetch-Site nor Origin may
//     say that another site asks ([http.CrossOriginProtection]);
//   - for what changes something: the body is application/json, which a form of a page cannot
//     send, and at most 1 MiB;
//   - the bound on requests at work: 32, of which the one whose client takes the longest over
//     its answer goes for another. Health checks are not among them and need no place.
//
// The handlers own what they answer with. Profiles are served only where Config.Debug says
// so, one at a time, for at most [maxProfileSeconds].
package adminhttp
