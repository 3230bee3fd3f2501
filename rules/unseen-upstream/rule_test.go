package unseenupstream_test

import (
	"testing"

	"mcp401/rules/rulestest"
	unseenupstream "mcp401/rules/unseen-upstream"
)

func TestRule(t *testing.T) { rulestest.Run(t, unseenupstream.Rule.ID) }
