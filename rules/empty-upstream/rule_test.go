package emptyupstream_test

import (
	"testing"

	emptyupstream "mcp401/rules/empty-upstream"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, emptyupstream.Rule.ID) }
