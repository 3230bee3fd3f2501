package llmwithouttools_test

import (
	"testing"

	llmwithouttools "mcp401/rules/llm-without-tools"
	"mcp401/rules/rulestest"
)

func TestRule(t *testing.T) { rulestest.Run(t, llmwithouttools.Rule.ID) }
