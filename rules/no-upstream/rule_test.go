package noupstream_test

import (
	"testing"

	noupstream "mcp401/rules/no-upstream"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, noupstream.Rule.ID) }
