// Command mcp401 finds MCP tools lists that came back empty because an
// upstream server said 401.
package main

import (
	"os"

	"mcp401/cmd/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }
