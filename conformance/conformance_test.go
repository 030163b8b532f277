// Package conformance_test is the official Gateway API suite as a program: `go test -c` makes it.
package conformance_test

import (
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

func TestConformance(t *testing.T) { conformance.RunConformance(t) }
