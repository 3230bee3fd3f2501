package cli

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"mcp401/capture"
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
		return nil, fmt.Errorf("%s: %w", name, nameless(err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, fileBound+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, nameless(err))
	}
	if len(b) > fileBound {
		return nil, fmt.Errorf("%s: over 64 MB", name)
	}
	return b, nil
}

// nameless takes the name of the file out of an error that says it again.
func nameless(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// A keyed source gives key logs before the first record of a capture.
type keyed struct {
	capture.Source
	keys [][]byte
}

func withKeys(src capture.Source, keys [][]byte) capture.Source {
	if len(keys) == 0 {
		return src
	}
	return &keyed{src, keys}
}

func (k *keyed) Next() (capture.Record, error) {
	if len(k.keys) == 0 {
		return k.Source.Next()
	}
	lines := k.keys[0]
	k.keys = k.keys[1:]
	return capture.Record{Secret: &capture.Secret{Lines: lines}}, nil
}

// A litellm is the part of a LiteLLM configuration that names upstreams.
// Values of credentials are not read into it: only whether there are any.
type litellm struct {
	Servers map[string]struct {
		URL          string   `yaml:"url"`
		Alias        string   `yaml:"alias"`
		Transport    string   `yaml:"transport"`
		Command      present  `yaml:"command"`
		ExtraHeaders []string `yaml:"extra_headers"`
		AuthType     string   `yaml:"auth_type"`
		AuthValue    present  `yaml:"auth_value"`
		Token        present  `yaml:"authentication_token"`
		Credentials  present  `yaml:"credentials"`
		ClientID     present  `yaml:"client_id"`
		Static       headers  `yaml:"static_headers"`
	} `yaml:"mcp_servers"`
	Settings struct {
		Aliases map[string]string `yaml:"mcp_aliases"`
	} `yaml:"litellm_settings"`
}

// A present is true when the key is there, whatever its value.
type present bool

// UnmarshalYAML implements yaml.BytesUnmarshaler.
func (p *present) UnmarshalYAML(b []byte) error {
	v := strings.TrimSpace(string(b))
	*p = v != "" && v != "null" && v != "~" && v != `""` && v != "''"
	return nil
}

// A headers is the lower-case names of header fields, without their values.
type headers []string

// UnmarshalYAML implements yaml.InterfaceUnmarshaler.
func (h *headers) UnmarshalYAML(decode func(any) error) error {
	var m map[string]present
	if err := decode(&m); err != nil {
		return err
	}
	for name := range m {
		*h = append(*h, strings.ToLower(name))
	}
	return nil
}

// readConfig reads the server names of a LiteLLM configuration.
func readConfig(name string) (map[string]hop.Server, error) {
	b, err := readFile(name)
	if err != nil {
		return nil, fmt.Errorf("--config %w", err)
	}
	var c litellm
	if err := yaml.Unmarshal(b, &c); err != nil {
		// Without the source lines: they may hold a secret.
		return nil, fmt.Errorf("--config %s: %s", name, strings.TrimSpace(yaml.FormatError(err, false, false)))
	}
	if len(c.Servers) == 0 {
		return nil, hinted(fmt.Errorf("--config %s: no mcp_servers in it", name), "the file given to litellm --config")
	}
	alias := map[string]string{}
	for a, server := range c.Settings.Aliases {
		alias[server] = a
	}
	servers := map[string]hop.Server{}
	for name, s := range c.Servers {
		v := hop.Server{URL: s.URL, Alias: s.Alias, Transport: s.Transport, ExtraHeaders: s.ExtraHeaders}
		if v.Alias == "" {
			v.Alias = alias[name]
		}
		if v.Transport == "" && bool(s.Command) {
			v.Transport = "stdio"
		}
		if strings.HasPrefix(v.URL, "os.environ/") {
			v.URL = "" // known to the gateway's environment alone
		}
		v.Stored = bool(s.AuthValue || s.Token || s.Credentials || s.ClientID) || contains(s.Static, "authorization")
		servers[name] = v
	}
	return servers, nil
}
