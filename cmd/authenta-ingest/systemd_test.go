package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
)

// What systemd is told from the start to the end, where each takes its time.
func TestSystemdFollowsADaemonFromItsStartToItsEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	dir, err := os.MkdirTemp("", "") // a socket's path has to be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	var told output
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			_, _ = told.Write(append(buf[:n:n], '\n')) // it is memory
		}
	}()
	count := func(line string) int { return strings.Count("\n"+told.String(), "\n"+line) }
	tells := func(line string) {
		t.Helper()
		eventually(t, time.Minute, "systemd is told "+line, func() bool { return count(line) > 0 })
	}

	address, port := freePort(t)
	w.env["NATS_URL"] = "nats://" + address
	w.platform.Faults(sandbox.Fault{Op: sandbox.OpPut, Do: sandbox.Hang})
	p := w.start(map[string]string{"NOTIFY_SOCKET": socket.Name, "WATCHDOG_USEC": "400000", "INGEST_DRAIN": "3s"}, "run", w.inbox)
	tells("STATUS=starting: connecting to NATS")
	tells("EXTEND_TIMEOUT_USEC=30000000")
	broker := natsServer(t, port, t.TempDir())
	defer broker.WaitForShutdown()
	defer broker.Shutdown()
	if count("READY=1") > 0 {
		t.Error("it is said to be ready without NATS")
	}
	tells("READY=1")
	tells("STATUS=working")
	was := count("WATCHDOG=1")
	eventually(t, time.Minute, "it is told to be alive, again and again", func() bool { return count("WATCHDOG=1") >= was+5 })
	w.write("a.jpg", picture(1))
	eventually(t, time.Minute, "an upload hangs", func() bool { return w.platform.Ledger().Creates == 1 })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	tells("STOPPING=1")
	tells("STATUS=stopping")
	was = count("WATCHDOG=1")
	eventually(t, time.Minute, "it is alive while it stops", func() bool { return count("WATCHDOG=1") > was })
	if code := p.wait(time.Minute); code != exitDone {
		t.Errorf("exit code %d", code)
	}
	if count("READY=1") != 1 || count("STOPPING=1") != 1 {
		t.Errorf("told more than once: %s", told.String())
	}
	if strings.Contains(p.stderr.String(), "systemd") {
		t.Errorf("the log has to say something of systemd: %s", p.stderr.String())
	}
}
