package main

import (
	"testing"

	"github.com/sluicemq/sluice/config"
)

// What a reload changes are settings that there are.
func TestHotSettingsExist(t *testing.T) {
	known := settingsOf(config.DefaultBroker())
	for name := range hotLimits {
		if _, ok := known[name]; !ok {
			t.Errorf("%s is no setting", name)
		}
	}
	if _, ok := known[logLevel]; !ok {
		t.Errorf("%s is no setting", logLevel)
	}
}
