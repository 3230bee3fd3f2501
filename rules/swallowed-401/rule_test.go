package swallowed401_test

import (
	"testing"

	"mcp401/rules/rulestest"
	swallowed401 "mcp401/rules/swallowed-401"
)

func TestRule(t *testing.T) { rulestest.Run(t, swallowed401.Rule.ID) }
