package main

import (
	"log/slog"
	"os"
)

// makeTempDir makes the folder that TMPDIR names, if it is not there: in a container it is a path on an empty disk. Files in
// folders are judged without it, so its lack ends nothing.
func makeTempDir(log *slog.Logger) {
	if err := os.MkdirAll(os.TempDir(), 0o700); err != nil {
		log.Warn("there is no folder for the copies that a worker makes of files that are not on this machine; they wait: "+
			"set TMPDIR to a folder that can be written to", "error", err)
	}
}
