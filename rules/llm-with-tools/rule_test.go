package llmwithtools_test

import (
	"testing"

	llmwithtools "mcp401/rules/llm-with-tools"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, llmwithtools.Rule.ID) }
