package surfacedauth_test

import (
	"testing"

	"mcp401/rules/rulestest"
	surfacedauth "mcp401/rules/surfaced-auth"
)

func TestRule(t *testing.T) { rulestest.Run(t, surfacedauth.Rule.ID) }
