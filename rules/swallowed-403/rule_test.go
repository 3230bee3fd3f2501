package swallowed403_test

import (
	"testing"

	"mcp401/rules/rulestest"
	swallowed403 "mcp401/rules/swallowed-403"
)

func TestRule(t *testing.T) { rulestest.Run(t, swallowed403.Rule.ID) }
