package watcher

// mountID returns 0: the system does not tell mounts apart.
func mountID(string) uint64 { return 0 }
