package config

// Controller has all settings of a controller. The keys of the file are the toml
// tags; controller.toml says of each what it does.
type Controller struct {
	Controller Identity `toml:"controller"`
	Metadata   Metadata `toml:"metadata"`
	Admin      Admin    `toml:"admin"`
	Log        Log      `toml:"log"`
}
