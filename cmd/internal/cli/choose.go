package cli

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"mcp401/capture"
	"mcp401/capture/filter"
	"mcp401/cmd/internal/pipeline"
)

// choose sets the filter of a wire where none was given, and says which: TCP
// and what may carry it. Only where the gateway is named and its configuration
// names every upstream, their ports are enough, with those of HTTP itself,
// where token endpoints, models and redirects are.
func (a *app) choose(w *wire, in *input, cfg *pipeline.Config) error {
	if w.pid != 0 {
		listening, err := listens(w.pid)
		if err != nil {
			return err
		}
		cfg.Hop.Gateways = append(cfg.Hop.Gateways, listening...)
		if w.netns == "" && w.read == "" && elsewhere(w.pid) {
			w.netns = strconv.Itoa(w.pid)
		}
	}
	if w.read != "" || w.filter != "" || w.program != "" {
		return nil
	}
	var ports []uint16
	why := "the gateway is not named: --gateway or --pid, with --config, takes only its ports"
	if len(cfg.Hop.Gateways) > 0 {
		why = "its upstreams are not known: --config takes only their ports"
	}
	if len(cfg.Hop.Gateways) > 0 && in.config != "" {
		var err error
		if ports, why, err = configured(in.config); err != nil {
			return err
		}
	}
	if ports != nil {
		for _, list := range [][]netip.AddrPort{cfg.Hop.Gateways, cfg.Hop.Upstreams} {
			for _, end := range list {
				ports = append(ports, end.Port())
			}
		}
		why = "the gateway's port and those in " + in.config + ", and HTTP's own; what an upstream redirects to elsewhere is seen with: mcp401 live tcp"
	}
	w.chosen = filter.TCP(ports...)
	a.warn(fmt.Errorf("filter: %s, and what may carry it (%s)", w.chosen, why))
	return nil
}

// incomplete is settings of LiteLLM with which servers may stand in a database
// and not in the file.
var incomplete = regexp.MustCompile(`(?m)^\s*(database_url|store_model_in_db)\s*:\s*["']?([^"'\s#]*)`)

// urls finds every URL of a configuration, whatever it is for.
var urls = regexp.MustCompile(`https?://[^\s"'<>,\]}]+`)

// configured returns every port that a configuration of LiteLLM names, and
// those of HTTP; none, and why, where it does not name all.
func configured(name string) (ports []uint16, why string, err error) {
	servers, err := readConfig(name)
	if err != nil {
		return nil, "", err
	}
	text, err := readFile(name)
	if err != nil {
		return nil, "", fmt.Errorf("--config %w", err)
	}
	for _, m := range incomplete.FindAllSubmatch(text, -1) {
		if v := strings.ToLower(string(m[2])); v != "" && v != "false" && v != "null" {
			return nil, fmt.Sprintf("%s has %s: servers may stand in a database", name, m[1]), nil
		}
	}
	for _, id := range slices.Sorted(maps.Keys(servers)) {
		if s := servers[id]; s.Transport != "stdio" && !strings.HasPrefix(s.URL, "http://") && !strings.HasPrefix(s.URL, "https://") {
			return nil, fmt.Sprintf("%s does not say where %s is", name, id), nil
		}
	}
	ports = []uint16{80, 443}
	for _, raw := range urls.FindAll(text, -1) {
		u, err := url.Parse(string(raw))
		if err != nil {
			return nil, fmt.Sprintf("%s has a URL that cannot be read", name), nil
		}
		if u.Port() == "" {
			continue // 80 or 443
		}
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil {
			return nil, fmt.Sprintf("%s has a URL with a port that is none", name), nil
		}
		ports = append(ports, uint16(port))
	}
	return ports, "", nil
}

// elsewhere reports whether a process is in another network namespace.
func elsewhere(pid int) bool {
	own, err := os.Readlink("/proc/self/ns/net")
	other, bad := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
	return err == nil && bad == nil && own != other
}

// listens returns where a process listens for TCP connections.
func listens(pid int) ([]netip.AddrPort, error) {
	dir := fmt.Sprintf("/proc/%d", pid)
	fds, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		return nil, hinted(fmt.Errorf("--pid %d: %w", pid, capture.Nameless(err)), "the id of the gateway's process, on Linux; as root for another user's")
	}
	sockets := map[string]bool{}
	for _, fd := range fds {
		if name, err := os.Readlink(filepath.Join(dir, "fd", fd.Name())); err == nil && strings.HasPrefix(name, "socket:[") {
			sockets[strings.Trim(name, "socket:[]")] = true
		}
	}
	var list []netip.AddrPort
	for _, table := range []string{"tcp", "tcp6"} {
		b, err := os.ReadFile(filepath.Join(dir, "net", table))
		if err != nil {
			continue // no IPv6
		}
		list = append(list, listening(b, sockets)...)
	}
	if len(list) == 0 {
		return nil, hinted(fmt.Errorf("--pid %d: it listens on no TCP port", pid), "the process that serves; ss -ltnp shows them")
	}
	slices.SortFunc(list, netip.AddrPort.Compare)
	return slices.Compact(list), nil
}

// listening returns the local ends of sockets in a table of proc(5) that listen
// and are among those named.
func listening(table []byte, sockets map[string]bool) []netip.AddrPort {
	const listen = "0A"
	var list []netip.AddrPort
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 10 || f[3] != listen || !sockets[f[9]] {
			continue
		}
		if end, err := local(f[1]); err == nil {
			list = append(list, end)
		}
	}
	return list
}

// local reads an address and port of proc(5): words of 32 bits in the
// machine's byte order, in hex.
func local(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(host)
	if err != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, errors.New("not an address")
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	n, err := strconv.ParseUint(port, 16, 16)
	addr, _ := netip.AddrFromSlice(b)
	if addr = addr.Unmap(); addr.IsUnspecified() {
		addr = netip.Addr{} // any address, as --gateway :4000 has it
	}
	return netip.AddrPortFrom(addr, uint16(n)), err
}
