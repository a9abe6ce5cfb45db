// Command authenta-ingest takes media files from folders and NATS subjects, has Authenta's platform judge them, and
// publishes the verdicts on NATS.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(realMain())
}

// realMain runs the command line and returns the exit code. The first signal ends the context, the second the process.
func realMain() int {
	ctx, restore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer restore()
	defer context.AfterFunc(ctx, restore)()
	return execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
}
