package called_test

import (
	"testing"

	"mcp401/rules/called"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, called.Rule.ID) }
