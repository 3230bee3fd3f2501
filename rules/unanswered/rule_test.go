package unanswered_test

import (
	"testing"

	"mcp401/rules/rulestest"
	"mcp401/rules/unanswered"
)

func TestRule(t *testing.T) { rulestest.Run(t, unanswered.Rule.ID) }
