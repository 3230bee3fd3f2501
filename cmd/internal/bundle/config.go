package bundle

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"mcp401/rules/hop"
)

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

// Config reads the servers of a LiteLLM configuration, by name. Its error is an
// [*Error] that quotes nothing of the file, which may hold secrets.
func Config(name string, b []byte) (map[string]hop.Server, error) {
	if tooDeep(b) {
		return nil, &Error{Text: name + ": this YAML is nested too deeply", Hint: "the file given to litellm --config"}
	}
	if tooMany(b) {
		return nil, &Error{Text: fmt.Sprintf("%s: this YAML has more than %d values when its aliases are followed", name, maxValues), Hint: "the file given to litellm --config"}
	}
	var c litellm
	if err := yaml.Unmarshal(b, &c); err != nil {
		// Without the source lines: they may hold a secret.
		return nil, &Error{Text: fmt.Sprintf("%s: %s", name, strings.TrimSpace(yaml.FormatError(err, false, false)))}
	}
	if len(c.Servers) == 0 {
		return nil, &Error{Text: name + ": no mcp_servers in it", Hint: "the file given to litellm --config"}
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
		v.Stored = bool(s.AuthValue || s.Token || s.Credentials || s.ClientID)
		for _, h := range s.Static {
			v.Stored = v.Stored || h == "authorization"
		}
		servers[name] = v
	}
	return servers, nil
}

// How deep a configuration may be nested, and how far to the right a block of
// it may begin. The parser takes memory by the square of the depth: 200 kB of
// brackets cost 10 GB.
const (
	maxDepth  = 64
	maxColumn = 512
)

// tooDeep looks at the tokens, which cost memory by their number only.
func tooDeep(b []byte) bool {
	depth := 0
	for _, t := range lexer.Tokenize(string(b)) {
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			depth++
		case token.SequenceEndType, token.MappingEndType:
			depth = max(depth-1, 0)
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.TagType:
			if depth == 0 && t.Position != nil && t.Position.Column > maxColumn {
				return true
			}
		}
		if depth > maxDepth {
			return true
		}
	}
	return false
}

// maxValues is how many values a configuration may have when its aliases are
// followed, as the decoder does: ten lines of ten aliases each make ten
// thousand million of one.
const maxValues = 100_000

// tooMany counts them. What does not parse has none.
func tooMany(b []byte) bool {
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return false
	}
	v := &values{anchors: map[string]int{}}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			ast.Walk(v, doc.Body)
		}
	}
	return v.n > maxValues
}

// A values counts the nodes of a tree and what its aliases stand for. An anchor
// stands before its aliases.
type values struct {
	n       int
	anchors map[string]int
}

// Visit implements ast.Visitor.
func (v *values) Visit(n ast.Node) ast.Visitor {
	if n == nil || v.n > maxValues {
		return nil
	}
	v.n++
	switch n := n.(type) {
	case *ast.AnchorNode:
		before := v.n
		if n.Value != nil {
			ast.Walk(v, n.Value)
		}
		v.anchors[n.Name.String()] = v.n - before
		return nil
	case *ast.AliasNode:
		v.n += v.anchors[n.Value.String()]
		return nil
	}
	return v
}
