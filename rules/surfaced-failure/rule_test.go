package surfacedfailure_test

import (
	"testing"

	"mcp401/rules/rulestest"
	surfacedfailure "mcp401/rules/surfaced-failure"
)

func TestRule(t *testing.T) { rulestest.Run(t, surfacedfailure.Rule.ID) }
