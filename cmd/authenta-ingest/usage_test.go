package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/spf13/cobra"

	"github.com/authenta/authenta-ingest/authenta/sandbox"
	"github.com/authenta/authenta-ingest/queue"
)

// typedHere runs a command line in this process: one that asks nobody.
func typedHere(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, err bytes.Buffer
	code = execute(t.Context(), args, &out, &err)
	return out.String(), err.String(), code
}

func TestWhatIsTypedWrongIsToldInOneLineWithWhatToType(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"statsu":                      `there is no command "statsu": is status meant? (see 'authenta-ingest --help')`,
		"verdict":                     `there is no command "verdict": is verdicts meant?`,
		"Run x":                       `there is no command "Run": is run meant?`,
		"ls":                          `there is no command "ls" (see 'authenta-ingest --help')`,
		"help statsu":                 `there is no command "statsu": is status meant?`,
		"--version":                   `there is no flag --version: is version meant?`,
		"-q":                          `there is no flag -q (see`,
		"status now":                  `status takes no arguments, and "now" is one (see 'authenta-ingest status --help')`,
		"verdicts fake":               `verdicts takes no arguments, and "fake" is one`,
		"verdicts --folow":            `verdicts has no flag --folow: is --follow meant? (see 'authenta-ingest verdicts --help')`,
		"verdicts --outcomes fake":    `verdicts has no flag --outcomes: is --outcome meant?`,
		"verdicts -fx":                `verdicts has no flag -x (see`,
		"verdicts ---":                `bad flag syntax: --- (see`,
		"verdicts --since":            `--since needs a value (see`,
		"verdicts --since yesterday":  `--since "yesterday": want how long ago, such as 90m, 12h or 7d, or when, such as 20`,
		"verdicts --since 2999-01-01": `--since "2999-01-01": that is still to come`,
		"verdicts --outcome fakes":    `--outcome "fakes": want fake, real or inconclusive (--failures shows what could not be judged)`,
		"verdicts --model D*":         `--model "D*": want a model such as DF-1`,
		"status --every 5s":           `--every is for --watch: say that, too`,
		"status --watch --every 5":    `--every "5": want a duration such as 30s, 5m or 2h (see`,
		"status --watch --every 1ms":  `--every 1ms: want 100ms or more`,
		"status --watch=perhaps":      `--watch "perhaps": want true or false`,
		"pause upload":                `pause "upload": want uploads, polls or all (see 'authenta-ingest pause --help')`,
		"pause uploads polls":         `pause takes one argument, and there are 2`,
		"pause --for soon":            `--for "soon": want a duration`,
		"pause --for -1h":             `--for -1h0m0s: want more than nothing`,
		"resume poll":                 `resume "poll": want uploads, polls or all`,
		"retry":                       `retry: name the failures to retry, or say --all`,
		"retry --all abcdef":          `retry: name the failures to retry, or say --all`,
		"submit":                      `submit: name files, or addresses of some`,
		"submit nothing-here.mp4":     `nothing-here.mp4 does not exist: name a file`,
		"submit --json usage.go":      `--json is for answers: say --wait, too`,
		"config INGEST_DIRS":          `config takes no arguments`,
		"health now":                  `health takes no arguments, and "now" is one`,
		"completion":                  `completion: say which: bash, zsh, fish or powershell`,
		"completion csh":              `completion "csh": want bash, zsh, fish or powershell`,
		"man run":                     `man takes no arguments`,
		"version --short":             `version has no flag --short`,
		"sandbox --credits many":      `--credits "many": want a whole number`,
		"sandbox --addr 9090":         `--addr "9090": want host:port, such as 127.0.0.1:9090`,
		"run --sandbx .":              `run has no flag --sandbx: is --sandbox meant?`,
	} {
		stdout, stderr, code := typedHere(t, strings.Fields(line)...)
		if code != exitUsage || !strings.HasPrefix(stderr, "authenta-ingest: "+want) || strings.Count(stderr, "\n") != 1 || stdout != "" {
			t.Errorf("%s: exit code %d\n%s%swant\n%s", line, code, stdout, stderr, want)
		}
	}
}

func TestTheNearestWordIsMeant(t *testing.T) {
	t.Parallel()
	words := []string{"run", "resume", "retry", "status", "submit", "--follow", "--failures", "INGEST_UPLOADS", "INGEST_HOST"}
	for typed, want := range map[string]string{
		"stat": "status", "sttaus": "status", "r": "", "re": "", "rn": "run", "rm": "", "ls": "", "": "", "--": "", "--f": "", "--folow": "--follow",
		"INGEST_UPLAODS": "INGEST_UPLOADS", "INGEST_UPLOAD": "INGEST_UPLOADS", "INGEST_SPEED": "", "sübmit": "submit",
	} {
		if got := nearest(typed, words); got != want {
			t.Errorf("for %q %q is meant, want %q", typed, got, want)
		}
	}
}

func everyCommand(c *cobra.Command) []*cobra.Command {
	all := []*cobra.Command{c}
	for _, sub := range c.Commands() {
		all = append(all, everyCommand(sub)...)
	}
	return all
}

func TestEveryCommandExplainsItself(t *testing.T) {
	t.Parallel()
	for _, c := range everyCommand(rootCommand()) {
		args := strings.Fields(c.CommandPath())[1:]
		help, stderr, code := typedHere(t, append(args, "--help")...)
		if code != exitDone || stderr != "" {
			t.Errorf("%v --help: exit code %d: %s", args, code, stderr)
		}
		if again, _, _ := typedHere(t, append([]string{"help"}, args...)...); again != help && c.Name() != "help" {
			t.Errorf("help %v says something else than %v --help:\n%s", args, args, again)
		}
		if c.HasParent() && (c.Long == "" || !strings.HasPrefix(help, c.Long)) {
			t.Errorf("%v is not explained:\n%s", args, help)
		}
		if c.HasParent() && c.HasAvailableLocalFlags() && c.Name() != "version" && c.Name() != "help" && c.Example == "" {
			t.Errorf("%v has no example", args)
		}
		for line := range strings.Lines(help) {
			if w := width(strings.TrimSuffix(line, "\n")); w > helpWidth+4 || w > helpWidth && !strings.HasPrefix(line, "  ") {
				t.Errorf("%v: a line of %d columns: %q", args, w, line)
			}
		}
		for example := range strings.Lines(c.Example) {
			wantUnderstood(t, example)
		}
	}
}

// wantUnderstood checks that an example's flags and arguments are ones.
func wantUnderstood(t *testing.T, example string) {
	t.Helper()
	words := strings.Fields(example)
	if i := slices.IndexFunc(words, func(w string) bool { return strings.ContainsAny(w, "|>") }); i >= 0 {
		words = words[:i]
	}
	c, args, err := rootCommand().Find(words[1:])
	if err == nil {
		err = c.ParseFlags(args)
	}
	if err == nil && words[0] == programName && c.HasParent() {
		err = c.ValidateArgs(c.Flags().Args())
	}
	if err != nil && !strings.Contains(example, `"`) { // those that a shell takes apart are run with the documents
		t.Errorf("%q: %v", example, err)
	}
}

func TestTheShellIsToldWhatMayStandWhere(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"verdicts --outcome ":  "fake real inconclusive :4",
		"verdicts --outcome=f": "fake real inconclusive :4", // the shell leaves out what does not begin like this
		"verdicts --model ":    "AC-1 DF-1 :4",
		"submit --model ":      "AC-1 DF-1 :4",
		"pause ":               "uploads polls all :4",
		"resume po":            "polls :4",
		"completion ":          "bash zsh fish powershell :4",
		"status ":              ":4",
		"run ":                 ":16", // folders
		"submit ":              ":0",  // files
		"sandbox --journal ":   ":0",
		"verdicts --since ":    ":4",
		"retry ":               ":4", // nobody can be asked
	} {
		args := append([]string{"__completeNoDesc"}, strings.Split(line, " ")...)
		p := startProgram(t, map[string]string{"INGEST_NATS_LISTEN": "127.0.0.1:1"}, nil, nil, args...)
		if code := p.wait(time.Minute); code != exitDone {
			t.Errorf("%s: exit code %d", line, code)
		}
		if got := strings.Join(strings.Fields(p.stdout.String()), " "); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	for _, shell := range shellNames {
		script, stderr, code := typedHere(t, "completion", shell)
		if code != exitDone || stderr != "" || !strings.Contains(script, programName) {
			t.Errorf("%s: exit code %d: %s", shell, code, stderr)
		}
		if bash, err := exec.LookPath("bash"); shell == "bash" && err == nil {
			check := exec.Command(bash, "-n")
			check.Stdin = strings.NewReader(script)
			if out, err := check.CombinedOutput(); err != nil {
				t.Errorf("bash: %v: %s", err, out)
			}
		}
	}
}

func TestTheManualSaysAllThatIsToBeSaid(t *testing.T) {
	t.Parallel()
	root := rootCommand()
	page := manual(root)
	for line := range strings.Lines(page) {
		if macro, _, _ := strings.Cut(strings.TrimSpace(line), " "); strings.HasPrefix(line, "'") || strings.HasPrefix(line, ".") &&
			!slices.Contains([]string{".TH", ".SH", ".SS", ".TP", ".B", ".PP", ".nf", ".fi", ".br"}, macro) {
			t.Errorf("an order that nobody gave: %q", line)
		}
	}
	wants := []string{".SH EXIT STATUS", ".SH ENVIRONMENT", ".SH SYNOPSIS"}
	for _, s := range listSettings(settings{}) {
		wants = append(wants, ".B "+s.Name+"\n"+roff(s.Meaning))
	}
	for _, c := range available(root) {
		wants = append(wants, ".SS "+roff(c.Use)+"\n")
		for line := range strings.Lines(c.LocalFlags().FlagUsages()) {
			if _, name, ok := strings.Cut(line, "--"); ok && !strings.HasPrefix(name, "help ") {
				wants = append(wants, roff("--"+strings.Fields(name)[0]))
			}
		}
	}
	for _, want := range wants {
		if !strings.Contains(page, want) {
			t.Errorf("the manual says nothing of %q", want)
		}
	}
	for _, name := range commandNames(root) {
		if name != "help" && !strings.Contains(page, "\n.B "+roff(programName+" "+name)) {
			t.Errorf("the manual does not list %s", name)
		}
	}
}

func TestTheREADMEsExitCodesAreTrue(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	said := strings.ReplaceAll(string(readme), "`", "")
	for code, means := range exitMeanings {
		if row := "\n| " + string(rune('0'+code)) + " | " + means + " |\n"; !strings.Contains(said, row) {
			t.Errorf("the README has no %s", row)
		}
	}
}

// A predicament is something wrong with where a command looks for a daemon.
type predicament struct {
	env  map[string]string
	code int
	want string
}

func TestEveryCommandSaysWhatToDoWhenItFindsNoDaemon(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	here := w.env["INGEST_NATS_LISTEN"]
	w.start(map[string]string{"INGEST_NATS_TOKEN": "token-8812"}, "run", w.inbox)
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.creds")
	if err := os.WriteFile(garbage, []byte("pass-word"), 0o600); err != nil {
		t.Fatal(err)
	}
	guarded := startServer(t, func(o *server.Options) { o.Username, o.Password = "ingest", "right" })
	bare := startServer(t, func(o *server.Options) { o.JetStream = false })
	free, _ := freePort(t)
	eventually(t, time.Minute, "the daemon answers", func() bool {
		p := w.start(map[string]string{"INGEST_NATS_TOKEN": "token-8812"}, "status")
		return p.wait(time.Minute) == exitDone
	})
	for name, c := range map[string]predicament{
		"nobody listens":        {map[string]string{"INGEST_NATS_LISTEN": free}, exitFailure, "start one with 'authenta-ingest run', or set INGEST_NATS_LISTEN"},
		"no token":              {map[string]string{"INGEST_NATS_LISTEN": here}, exitFailure, "set INGEST_NATS_TOKEN to that of the daemon"},
		"wrong token":           {map[string]string{"INGEST_NATS_LISTEN": here, "INGEST_NATS_TOKEN": "pass-word"}, exitFailure, "set INGEST_NATS_TOKEN to that of the daemon"},
		"another namespace":     {map[string]string{"INGEST_NATS_LISTEN": here, "INGEST_NATS_TOKEN": "token-8812", "INGEST_NAMESPACE": "other"}, exitFailure, "INGEST_NAMESPACE"},
		"no namespace":          {map[string]string{"INGEST_NAMESPACE": "a.b"}, exitUsage, "INGEST_NAMESPACE=a.b: want letters, digits, - and _"},
		"no listener":           {map[string]string{"INGEST_NATS_LISTEN": "off"}, exitUsage, "let it listen on a loopback address, or set NATS_URL"},
		"no address":            {map[string]string{"INGEST_NATS_LISTEN": "4222"}, exitUsage, "want host:port, or off"},
		"a web page":            {map[string]string{"NATS_URL": "http://me:pass-word@127.0.0.1:4222"}, exitUsage, "NATS_URL: want nats://host:port"},
		"nobody at NATS_URL":    {map[string]string{"NATS_URL": "nats://me:pass-word@" + free}, exitFailure, "connection refused: does a NATS server run there, and is that its address?"},
		"wrong password":        {map[string]string{"NATS_URL": "nats://ingest:pass-word@" + guarded}, exitFailure, "set NATS_CREDS to a credentials file of one of its users, or user:password@ or token@ in NATS_URL"},
		"a missing credentials": {map[string]string{"NATS_URL": "nats://" + free, "NATS_CREDS": filepath.Join(dir, "none")}, exitUsage, "NATS_CREDS: open "},
		"a folder":              {map[string]string{"NATS_URL": "nats://" + free, "NATS_CREDS": dir}, exitUsage, "NATS_CREDS: read "},
		"no credentials":        {map[string]string{"NATS_URL": "nats://" + free, "NATS_CREDS": garbage}, exitUsage, "garbage.creds has no user's JWT and seed in it: want a file as 'nsc generate creds' writes it"},
		"no authority":          {map[string]string{"NATS_URL": "nats://" + free, "NATS_TLS_CA": garbage}, exitUsage, "NATS_TLS_CA: "},
		"half a certificate":    {map[string]string{"NATS_URL": "nats://" + free, "NATS_TLS_CERT": garbage}, exitUsage, "want NATS_TLS_KEY set with it, or neither"},
		"no TLS":                {map[string]string{"NATS_URL": "tls://" + bare}, exitFailure, "set NATS_URL to nats://, or have it offer TLS"},
		"no JetStream":          {map[string]string{"NATS_URL": "nats://" + bare}, exitFailure, "?"}, // which of the two it is cannot be seen by all
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantTold(t, c, dir)
		})
	}
}

// wantTold has every command that asks a daemon meet a predicament.
func wantTold(t *testing.T, c predicament, dir string) {
	t.Helper()
	var all []*program
	file := filepath.Join("testdata", "media", "portrait.jpg")
	for _, line := range []string{"status", "status --watch", "verdicts", "verdicts --follow --json", "pause", "resume", "retry --all", "submit --wait " + file} {
		all = append(all, startProgram(t, c.env, map[string]string{"INGEST_STATE_DIR": filepath.Join(dir, "state")}, nil, strings.Fields(line)...))
	}
	for _, p := range all {
		code, said := p.wait(time.Minute), p.stderr.String()
		if code != c.code || !strings.Contains(said, c.want) {
			t.Errorf("%v ended with %d, want %d, and says\n%swant\n%s", p.cmd.Args[1:], code, c.code, said, c.want)
		}
		if n := strings.Count(said, "\n"); n < 1 || n > 2 || strings.Contains(said, "goroutine ") || strings.Contains(said, "pass-word") || p.stdout.String() != "" {
			t.Errorf("%v says too much, in %d lines:\n%s%s", p.cmd.Args[1:], n, p.stdout.String(), said)
		}
	}
}

// startServer starts a NATS server that is not as it should be, and returns where it listens.
func startServer(t *testing.T, spoil func(*server.Options)) string {
	t.Helper()
	address, port := freePort(t)
	o := brokerOptions(port, t.TempDir())
	spoil(o)
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(time.Minute) {
		t.Fatal("the NATS server did not start")
	}
	return address
}

// The permissions are those that deploy/README.md names for it.
func TestWhoMayReadVerdictsAndNothingElseReadsThem(t *testing.T) {
	t.Parallel()
	const api = "$JS.API."
	address := startServer(t, func(o *server.Options) {
		reader := &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{
				api + "STREAM.INFO.authenta-verdicts", api + "STREAM.INFO.authenta-failures",
				api + "CONSUMER.*.authenta-verdicts.>", api + "CONSUMER.MSG.NEXT.authenta-verdicts.>",
			}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		}
		o.Users = []*server.User{{Username: "admin", Password: "admin"}, {Username: "reader", Password: "reader", Permissions: reader}}
	})
	conn, err := queue.Connect("nats://admin:admin@"+address, discard)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := queue.Open(t.Context(), conn, queue.Options{Log: discard}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Request("authenta.verdicts.DF-1.fake", []byte(`{"id": "1"}`), time.Minute); err != nil {
		t.Fatal(err)
	}
	verdicts := func(args ...string) *program {
		return startProgram(t, map[string]string{"NATS_URL": "nats://reader:reader@" + address}, nil, nil, append([]string{"verdicts"}, args...)...)
	}
	all, failures := verdicts("--json", "--outcome", "fake"), verdicts("--json", "--failures")
	if code, said := all.wait(time.Minute), all.stderr.String(); code != exitDone || all.stdout.String() != "{\"id\": \"1\"}\n" || said != "" {
		t.Errorf("ended with %d, has shown %q and says %q", code, all.stdout.String(), said)
	}
	if code, said := failures.wait(time.Minute), failures.stderr.String(); code != exitFailure || !strings.Contains(said, "the NATS user lacks a permission") {
		t.Errorf("without the permission for failures it ended with %d and says %q", code, said)
	}
}

func TestWhatKeepsADaemonFromStartingIsToldWithWhatToSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	w.listen()
	w.start(nil, "run", w.inbox)
	w.status()
	file := w.outside("state", []byte("no folder"))
	for name, c := range map[string]struct {
		env  map[string]string
		want string
	}{
		"the state folder is in use":    {nil, "or give this one its own INGEST_STATE_DIR"},
		"the address is in use":         {map[string]string{"INGEST_STATE_DIR": t.TempDir()}, "Set INGEST_NATS_LISTEN to a free address, or to off"},
		"the state folder is no folder": {map[string]string{"INGEST_STATE_DIR": file, "INGEST_NATS_LISTEN": "off"}, "set it to a folder that this user may write to"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := w.start(c.env, "run", w.inbox)
			if code, said := p.wait(time.Minute), p.stderr.String(); code != exitFailure || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("it ended with %d and says\n%s", code, said)
			}
		})
	}
}

func TestASettingWithATypoIsToldWithTheOneThatIsMeant(t *testing.T) {
	t.Parallel()
	w := newWorld(t, sandbox.Options{})
	for _, args := range [][]string{{"config"}, {"run", "--once", w.inbox}} {
		p := w.start(map[string]string{"INGEST_UPLAODS": "3"}, args...)
		if code, said := p.wait(finishTime), p.stderr.String(); code != exitDone || !strings.Contains(said, "INGEST_UPLAODS is no setting of this version, and is ignored: is INGEST_UPLOADS meant?") {
			t.Errorf("%v ended with %d and says %q", args, code, said)
		}
	}
}
