package filteredlist_test

import (
	"testing"

	filteredlist "mcp401/rules/filtered-list"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, filteredlist.Rule.ID) }
