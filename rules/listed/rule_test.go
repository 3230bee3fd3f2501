package listed_test

import (
	"testing"

	"mcp401/rules/listed"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, listed.Rule.ID) }
