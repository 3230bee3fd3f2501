package swallowedfailure_test

import (
	"testing"

	"mcp401/rules/rulestest"
	swallowedfailure "mcp401/rules/swallowed-failure"
)

func TestRule(t *testing.T) { rulestest.Run(t, swallowedfailure.Rule.ID) }
