package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// With beTheReader set, the test binary follows a section of a document, in namespaces of its own. It does what stands there and
// nothing else, but for what every reader has: the program, an account, some media, and a daemon or servers where the section
// speaks of some that run.
const beTheReader = "TEST_BE_THE_READER"

func init() { readerMain = follows }

func follows() int {
	var s section
	if err := json.NewDecoder(os.Stdin).Decode(&s); err != nil {
		fmt.Println(err)
		return 1
	}
	r := &reader{home: os.Getenv("HOME")}
	err := r.settle(s)
	for _, c := range s.Commands {
		if err == nil {
			err = r.do(c)
		}
	}
	if err == nil && r.prelude != "" && !r.daemon { // what is only set is at least understood
		err = r.do("authenta-ingest config")
	}
	if err = errors.Join(err, r.leave()); err != nil {
		fmt.Println("FAILED:", err)
		return 1
	}
	return 0
}

// A reader follows a section.
type reader struct {
	home    string
	prelude string   // what the section says to set
	daemon  bool     // one was started
	running []*typed // what goes on until it is interrupted
	servers []*typed // what other machines run
	fed     int      // files that were put into the inbox
}

// A typed command runs, or has run.
type typed struct {
	text   string
	cmd    *exec.Cmd
	out    output
	exited chan struct{}
}

// waitTime bounds everything that a reader waits for.
const waitTime = 2 * time.Minute

// settle prepares the machine.
func (r *reader) settle(s section) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	hosts, program := filepath.Join(r.home, "hosts"), filepath.Join(r.home, "bin", "authenta-ingest")
	err = errors.Join(
		linkUp(), r.own("/srv", "/srv/inbox", "/srv/media/3"), r.own("/var/lib", "/var/lib/authenta-ingest"), r.cover("/etc"), r.cover("/usr/local"), r.standIns(),
		os.MkdirAll(filepath.Join(r.home, "inbox"), 0o755), os.MkdirAll(filepath.Dir(program), 0o755),
		os.WriteFile(program, fmt.Appendf(nil, "#!/bin/sh\nunset %s\n%s=1 exec %s \"$@\"\n", beTheReader, beTheProgram, self), 0o755),
		os.WriteFile(hosts, []byte("127.0.0.1 localhost first n1 n2 n3\n"), 0o644), syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""),
		os.Link("cmd/authenta-ingest/testdata/media/portrait.jpg", "cat.jpg"), os.Link("cmd/authenta-ingest/testdata/media/interview.mp4", "clip.mp4"),
	)
	if err != nil {
		return fmt.Errorf("prepare the machine: %w", err)
	}
	for path, text := range s.Programs {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{
		"AUTHENTA_URL": "http://" + sandboxAddr, "AUTHENTA_CLIENT_ID": "...", "AUTHENTA_CLIENT_SECRET": "...", "INGEST_SETTLE": "100ms",
	} {
		os.Setenv(name, value)
	}
	platform := r.start("authenta-ingest sandbox --client-id ... --client-secret ... --latency 100ms")
	r.servers = append(r.servers, platform)
	if err := r.await(platform, platform.has("AUTHENTA_CLIENT_SECRET=")); err != nil {
		return err
	}
	if slices.ContainsFunc(s.Commands, func(c string) bool { return strings.Contains(c, "nats://n1:4222") }) {
		r.startQuorum(self)
	}
	return nil
}

// own has a folder be the reader's alone, with these below it and nothing else.
func (r *reader) own(dir string, below ...string) error {
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "")
	for _, d := range below {
		err = errors.Join(err, os.MkdirAll(d, 0o755))
	}
	return err
}

// cover keeps from everybody else what the reader writes into a folder.
func (r *reader) cover(dir string) error {
	over := filepath.Join(r.home, "over", dir)
	upper, work := filepath.Join(over, "upper"), filepath.Join(over, "work")
	err := errors.Join(os.MkdirAll(over, 0o755), r.own(over, upper, work))
	escaped := strings.NewReplacer(`\`, `\\`, ",", `\,`) // as a section's title may have it, which the folder has in its name
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", dir, escaped.Replace(upper), escaped.Replace(work))
	return errors.Join(err, syscall.Mount("overlay", dir, "overlay", 0, options))
}

// standIns take the place of what no test can have: they say what they were told, and do nothing.
func (r *reader) standIns() error {
	err := os.MkdirAll(filepath.Join(r.home, "bin"), 0o755)
	for _, name := range []string{"docker", "kubectl", "systemctl", "journalctl"} {
		err = errors.Join(err, os.WriteFile(filepath.Join(r.home, "bin", name), []byte("#!/bin/sh\necho \"$0 $*\"\n"), 0o755))
	}
	return errors.Join(err, os.WriteFile(filepath.Join(r.home, "bin", "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o755))
}

// linkUp brings the loopback interface up.
func linkUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo)
}

// startQuorum starts three NATS servers, one of them where clients look for all.
func (r *reader) startQuorum(self string) {
	routes := []string{"6222", "6223", "6224"}
	for i, port := range []string{"4222", "4223", "4224"} {
		own := strings.Join(slices.Concat(routes[i:], routes[:i]), ",")
		store := filepath.Join(r.home, "nats"+port)
		r.servers = append(r.servers, r.start(fmt.Sprintf("unset %s; %s=%s %s=%s %s=%s exec %s",
			beTheReader, beTheBroker, port, brokerRoutes, own, brokerStore, store, self)))
	}
}

var (
	sets        = regexp.MustCompile(`^(export )?([A-Z_]+=('[^']*'|\S*)\s*)+$`)
	assignments = regexp.MustCompile(`^([A-Z_]+=\S+ )*`)
	runs        = regexp.MustCompile(`^([A-Z_]+=\S+ )*authenta-ingest run\b`)
	programs    = regexp.MustCompile(`^cmd/example\d+/example$`) // goes on or not; says something in any case
	goesOn      = regexp.MustCompile(`^nats sub|--follow|--watch`)
	asksOne     = regexp.MustCompile(`^authenta-ingest (status|pause|resume|retry|submit|verdicts|health)\b|^nats |^curl |^cmd/example`)
	others      = regexp.MustCompile(`^(nats |cmd/example)`) // programs that are not ours may end as they like
	endsWith    = map[string]int{                            // exit codes that are not 0
		"authenta-ingest retry 5f2a1c09b7d3": 1, // no such job has failed here
	}
)

// do types a command, and waits until it has done, or begun, what it is for.
func (r *reader) do(text string) error {
	fmt.Println("$", text)
	if sets.MatchString(text) {
		r.prelude += "export " + strings.TrimPrefix(text, "export ") + "\n"
		return nil
	}
	if asksOne.MatchString(text) && !r.daemon {
		if err := r.do("authenta-ingest run ~/inbox /srv/inbox"); err != nil {
			return err
		}
	}
	c := r.start(foreground(text))
	c.text = text
	switch {
	case runs.MatchString(text) && !strings.Contains(text, "--once"):
		r.daemon = true
		r.running = append(r.running, c)
		return r.await(c, func() bool { return c.has(`"watching"`)() || c.has(`"working"`)() })
	case goesOn.MatchString(text):
		r.running = append(r.running, c)
		return r.await(c, func() bool { return c.out.String() != "" || r.feed() != nil })
	case programs.MatchString(text):
		err := r.await(c, func() bool { return c.out.String() != "" || r.feed() != nil })
		if !errors.Is(err, errEnded) {
			r.running = append(r.running, c)
			return err
		}
	}
	if err := r.await(c, func() bool { return false }); !errors.Is(err, errEnded) {
		return err
	}
	if code := c.cmd.ProcessState.ExitCode(); code != endsWith[text] {
		return fmt.Errorf("%s: exit code %d\n%s", text, code, c.out.String())
	}
	return nil
}

// foreground has a command that goes on take the place of its shell, so that an interrupt is its own to answer.
func foreground(text string) string {
	if runs.MatchString(text) || goesOn.MatchString(text) || programs.MatchString(text) {
		at := assignments.FindStringIndex(text)[1]
		return text[:at] + "exec " + text[at:]
	}
	return text
}

// feed has another file judged, for those who wait to see one.
func (r *reader) feed() error {
	r.fed++
	return deposit(filepath.Join(r.home, "inbox", fmt.Sprintf("%d.jpg", r.fed)), picture(r.fed))
}

// start starts a command as a shell does that has the section's variables set.
func (r *reader) start(text string) *typed {
	c := &typed{text: text, cmd: exec.Command("sh", "-c", r.prelude+text), exited: make(chan struct{})}
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.out
	if err := c.cmd.Start(); err != nil {
		fmt.Fprintln(&c.out, err)
		close(c.exited)
		return c
	}
	go func() {
		_ = c.cmd.Wait() // the exit code is read from ProcessState
		close(c.exited)
	}()
	return c
}

func (c *typed) has(text string) func() bool {
	return func() bool { return strings.Contains(c.out.String(), text) }
}

// errEnded says that a command has ended before what was waited for.
var errEnded = errors.New("it has ended")

// await waits for a command to do something.
func (r *reader) await(c *typed, done func() bool) error {
	limit := time.After(waitTime)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-c.exited:
			return fmt.Errorf("%s: %w\n%s", c.text, errEnded, c.out.String())
		case <-limit:
			return fmt.Errorf("%s: nothing after %s\n%s", c.text, waitTime, c.out.String())
		case <-tick.C:
		}
	}
	return nil
}

// leave interrupts what goes on, the last first, as a person does with Ctrl-C.
func (r *reader) leave() error {
	var err error
	for _, c := range slices.Backward(r.running) {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGINT) // gone already: seen below
		if ended := r.await(c, func() bool { return false }); !errors.Is(ended, errEnded) {
			err = errors.Join(err, ended)
			continue
		}
		if code := c.cmd.ProcessState.ExitCode(); code != 0 && !others.MatchString(c.text) {
			err = errors.Join(err, fmt.Errorf("%s: exit code %d after Ctrl-C\n%s", c.text, code, c.out.String()))
		}
	}
	for _, c := range r.servers {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
		<-c.exited
	}
	return err
}
