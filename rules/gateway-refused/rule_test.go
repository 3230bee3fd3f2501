package gatewayrefused_test

import (
	"testing"

	gatewayrefused "mcp401/rules/gateway-refused"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, gatewayrefused.Rule.ID) }
