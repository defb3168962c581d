package pipeline

import "runtime"

func goexit() { runtime.Goexit() }
