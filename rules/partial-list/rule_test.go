package partiallist_test

import (
	"testing"

	partiallist "mcp401/rules/partial-list"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, partiallist.Rule.ID) }
