// Package samples holds a few small real captures with the reports that they
// give. See the README.md in each folder.
package samples

import _ "embed"

// Tour is the pcap file of every route once: what `mcp401 demo` analyses.
//
//go:embed tour/capture.pcap
var Tour []byte
