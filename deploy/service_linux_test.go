package deploy_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// Whoever installs the service as README.md says has one that works under all that the unit forbids it: it judges what comes into
// the folder, and can write nowhere; with the drop-in it moves files, and does so without copying; killed, it comes back.
func TestTheServiceWorksUnderARealSystemd(t *testing.T) {
	t.Parallel()
	m := boot(t, map[string]string{
		"etc/systemd/system/machine.target":   "[Unit]\nDescription=A machine of a test\nAllowIsolate=yes\n",
		"etc/systemd/system/platform.service": "[Service]\nExecStart=/opt/platform sandbox --client-id test-id --client-secret test-secret --latency 100ms\n",
		"usr/local/bin/sudo":                  "#!/bin/sh\nexec \"$@\"\n",
		"opt/platform":                        read(t, program(t)),
		"root/here/authenta-ingest":           read(t, program(t)), // the first command would build it
		"root/here/deploy/systemd/" + unit:    read(t, "systemd/"+unit),
		"root/here/deploy/systemd/settings":   read(t, "systemd/settings"),
		"etc/systemd/system/" + unit + ".d/test.conf": "[Service]\nEnvironment=AUTHENTA_URL=http://127.0.0.1:9090 INGEST_SETTLE=100ms\n" +
			"StandardOutput=file:/var/out\nStandardError=append:/var/err\n",
	})
	t.Cleanup(func() {
		if t.Failed() {
			said, _ := m.try("systemctl status --no-pager authenta-ingest; cat /var/err")
			t.Log(said)
		}
	})
	m.must("systemctl start platform; mkdir -m 755 /srv/inbox")
	installation := blocks(t, "A service of systemd", "sh")[0]
	build, rest, _ := strings.Cut(installation, "\n")
	if !strings.Contains(build, "go build") {
		t.Fatalf("the program is not built at first: %s", build)
	}
	m.must("cd /root/here; AUTHENTA_CLIENT_ID=test-id AUTHENTA_CLIENT_SECRET=test-secret; " + rest)
	m.await("systemctl is-active authenta-ingest", "active")
	pid := m.property("MainPID")
	m.confined(pid)

	const verdict = `grep -cE '^(fake|real|inconclusive) .*/srv/inbox/' /var/out || true`
	m.must("echo not media > /srv/inbox/none.txt")
	m.drop("a.jpg")
	m.await(verdict, "1")
	m.drop("b.jpg") // with other bytes
	m.await(verdict, "2")

	m.must("mkdir /srv/done; chown authenta-ingest /srv/inbox /srv/done; echo INGEST_AFTER=move:/srv/done >> /etc/authenta-ingest/settings")
	m.must("cat > /etc/systemd/system/" + unit + ".d/override.conf <<'E'\n" + blocks(t, "A service of systemd", "ini")[0] + "E")
	m.must("systemctl daemon-reload; systemctl restart authenta-ingest")
	m.drop("c.jpg")
	inode := m.must("stat -c %i /srv/inbox/c.jpg")
	m.await("stat -c %i /srv/done/c.jpg", inode)

	pid = m.property("MainPID")
	m.must("systemctl kill --signal=KILL authenta-ingest")
	m.await("test \"$(systemctl show --property=MainPID --value authenta-ingest)\" != "+pid+"; systemctl is-active authenta-ingest", "active")
	m.must("systemctl stop authenta-ingest")
	if result, code := m.property("Result"), m.property("ExecMainStatus"); result != "success" || code != "0" {
		t.Errorf("it stopped with %s, %s", result, code)
	}
	m.must("test -e /var/lib/authenta-ingest/clean") // the store was closed
	if said := m.must("cat /var/err"); strings.Contains(said, `"level":"ERROR"`) {
		t.Errorf("it complains: %s", said)
	}
}

func (m *machine) property(name string) string {
	m.t.Helper()
	return m.must("systemctl show --value --property=" + name + " authenta-ingest")
}

// drop puts a picture with bytes of its own, which the service's user may read, into the folder.
func (m *machine) drop(name string) {
	m.t.Helper()
	picture, err := os.ReadFile("../cmd/authenta-ingest/testdata/media/portrait.jpg")
	if err != nil {
		m.t.Fatal(err)
	}
	write(m.t, "/proc/"+m.pid+"/root/srv/"+name, string(picture)+name, 0o644)
	m.must("mv /srv/" + name + " /srv/inbox/")
}

// confined checks that the kernel holds the process to what the unit says, as far as the process's status tells.
func (m *machine) confined(pid string) {
	m.t.Helper()
	status := m.must("cat /proc/" + pid + "/status")
	for _, want := range []string{`NoNewPrivs:\t1`, `Seccomp:\t2`, `CapEff:\t0+`, `CapBnd:\t0+`} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).MatchString(status) {
			m.t.Errorf("not as %s says: %s", want, status)
		}
	}
	if strings.Contains(status, "\nUid:\t0\t") {
		m.t.Error("it runs as root")
	}
	inside := "nsenter --target " + pid + " --mount "
	for _, path := range []string{"/srv/inbox", "/etc", "/root", "/usr/local/bin"} {
		if out, err := m.try(inside + "touch " + path + "/x"); err == nil || !strings.Contains(out, "Read-only file system") {
			m.t.Errorf("%s can be written to: %s", path, out)
		}
	}
	m.must(inside + "touch /var/lib/authenta-ingest/x /var/tmp/x")
	m.must("rm /var/lib/authenta-ingest/x; test ! -e /var/tmp/x")
}
