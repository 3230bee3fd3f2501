package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"mcp401/capture"
	"mcp401/cmd/internal/bundle"
	"mcp401/rules/hop"
)

// fileBound is the size of a key log or a configuration that is read at most:
// both are held in memory.
const fileBound = 64 << 20

// addresses reads HOST:PORT values. HOST is an IP address, "localhost", or
// nothing for any address.
func addresses(flag string, values []string) ([]netip.AddrPort, error) {
	var list []netip.AddrPort
	for _, v := range values {
		ports, err := address(v)
		if err != nil {
			return nil, hinted(fmt.Errorf("%s %s: %w", flag, quote(v), err), "as in 10.0.0.5:4000, [fd00::5]:4000, or :4000 for any address")
		}
		list = append(list, ports...)
	}
	return list, nil
}

func address(v string) ([]netip.AddrPort, error) {
	at := strings.LastIndexByte(v, ':')
	if at < 0 {
		return nil, errors.New("no port")
	}
	port, err := strconv.ParseUint(v[at+1:], 10, 16)
	if err != nil || port == 0 {
		return nil, errors.New("not a port")
	}
	var hosts []netip.Addr
	switch host := strings.Trim(v[:at], "[]"); host {
	case "", "*":
		hosts = []netip.Addr{{}}
	case "localhost":
		hosts = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	default:
		ip, err := netip.ParseAddr(host)
		if err != nil {
			return nil, errors.New("not an IP address")
		}
		hosts = []netip.Addr{ip.Unmap()}
	}
	var list []netip.AddrPort
	for _, h := range hosts {
		list = append(list, netip.AddrPortFrom(h, uint16(port)))
	}
	return list, nil
}

// readKeylogs returns the lines of TLS key logs.
func readKeylogs(names []string) ([][]byte, error) {
	var logs [][]byte
	for _, name := range names {
		b, err := readFile(name)
		if err != nil {
			return nil, fmt.Errorf("--keylog %w", err)
		}
		logs = append(logs, b)
	}
	return logs, nil
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, capture.Nameless(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileBound+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, capture.Nameless(err))
	}
	if len(b) > fileBound {
		return nil, fmt.Errorf("%s: over 64 MB", name)
	}
	return b, nil
}

// readConfig reads the server names of a LiteLLM configuration.
func readConfig(name string) (map[string]hop.Server, error) {
	b, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("--config %w", err)
	}
	servers, err := bundle.Config(name, b)
	if err != nil {
		return nil, fmt.Errorf("--config %w", err)
	}
	return servers, nil
}
