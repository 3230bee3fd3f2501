package call401_test

import (
	"testing"

	call401 "mcp401/rules/call-401"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, call401.Rule.ID) }
