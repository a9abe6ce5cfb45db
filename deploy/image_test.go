package deploy_test

import (
	"debug/elf"
	"encoding/json"
	"io"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// stages returns those of the Dockerfile, as its builder understands them.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(strings.NewReader(read(t, "../Dockerfile")))
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("the Dockerfile: %+v", parsed.Warnings)
	}
	found, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// of returns the instructions of a kind in a stage.
func of[T instructions.Command](s instructions.Stage) (found []T) {
	for _, c := range s.Commands {
		if one, ok := c.(T); ok {
			found = append(found, one)
		}
	}
	return found
}

// one returns the only instruction of a kind in a stage.
func one[T instructions.Command](t *testing.T, s instructions.Stage) T {
	t.Helper()
	found := of[T](s)
	if len(found) != 1 {
		t.Fatalf("%d instructions of %T in the image, want one", len(found), *new(T))
	}
	return found[0]
}

// image is what the last stage makes, the image itself.
func image(t *testing.T) instructions.Stage {
	t.Helper()
	all := stages(t)
	return all[len(all)-1]
}

// imageEnv are the variables that the image sets.
func imageEnv(t *testing.T) map[string]string {
	t.Helper()
	env := map[string]string{}
	for _, pair := range one[*instructions.EnvCommand](t, image(t)).Env {
		env[pair.Key] = pair.Value
	}
	return env
}

// imageCommand is what a container of the image runs, with the given arguments, or those of the image if there are none.
func imageCommand(t *testing.T, args ...string) []string {
	t.Helper()
	entry, cmd := one[*instructions.EntrypointCommand](t, image(t)), one[*instructions.CmdCommand](t, image(t))
	if entry.PrependShell || cmd.PrependShell {
		t.Fatal("the image's command needs a shell, and there is none")
	}
	if len(args) == 0 {
		args = cmd.CmdLine
	}
	return slices.Concat(entry.CmdLine, args)
}

// buildCommand returns the arguments of the go command with which the Dockerfile builds the program, but for -trimpath: it
// changes names of source files only, and everything would be compiled once more.
func buildCommand(t *testing.T) []string {
	t.Helper()
	for _, r := range of[*instructions.RunCommand](stages(t)[0]) {
		line := strings.Join(r.CmdLine, " ")
		before, after, ok := strings.Cut(line, " go build ")
		if !ok {
			continue
		}
		flags, _, _ := strings.Cut(after, " -o /image/usr/local/bin/authenta-ingest ./cmd/authenta-ingest")
		ld, rest, quoted := strings.Cut(strings.Replace(flags, "-trimpath", "", 1), `"`)
		ld, flag := rest, strings.TrimSpace(ld)
		ld, rest, _ = strings.Cut(ld, `"`)
		if !strings.Contains(before, "CGO_ENABLED=0") || flag != "-ldflags=" || !quoted || rest != "" {
			t.Fatalf("the Dockerfile builds the program in another way than is known here: %s", line)
		}
		return []string{"build", flag + strings.ReplaceAll(ld, "$VERSION", "v0.0.0-deploy-test")}
	}
	t.Fatal("the Dockerfile does not build the program")
	return nil
}

func TestTheImageHoldsTheProgramAlone(t *testing.T) {
	t.Parallel()
	final := image(t)
	if final.BaseName != "scratch" {
		t.Errorf("the image is made from %s", final.BaseName)
	}
	if user := one[*instructions.UserCommand](t, final).User; user != "65532:65532" {
		t.Errorf("it runs as %s; Kubernetes wants a number that is not 0", user)
	}
	if n := len(of[*instructions.RunCommand](final)) + len(of[*instructions.AddCommand](final)); n > 0 {
		t.Errorf("%d instructions run or add something in the image", n)
	}
	for _, c := range of[*instructions.CopyCommand](final) {
		if c.From != "build" {
			t.Errorf("%s copies something that was not built", c)
		}
	}
	health := one[*instructions.HealthCheckCommand](t, final).Health
	if !slices.Equal(health.Test, []string{"CMD", "authenta-ingest", "health"}) {
		t.Errorf("the health check is %v", health.Test)
	}
	if signal := one[*instructions.StopSignalCommand](t, final).Signal; signal != "SIGTERM" {
		t.Errorf("it is stopped by %s", signal)
	}
	env := imageEnv(t)
	if v := one[*instructions.VolumeCommand](t, final).Volumes; !slices.Equal(v, []string{env["INGEST_STATE_DIR"]}) {
		t.Errorf("the volume %v is not the state folder %s", v, env["INGEST_STATE_DIR"])
	}
	for name := range env {
		if name != "PATH" && name != "TMPDIR" && !isSetting(t, name) {
			t.Errorf("the image sets %s, which is no setting", name)
		}
	}
	if got := imageCommand(t); !slices.Equal(got, []string{"authenta-ingest", "run"}) {
		t.Errorf("it runs %v", got)
	}
}

// Static as well: it runs where there is nothing else.
func TestTheProgramIsStaticAndKnowsItsVersion(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the image is for Linux")
	}
	f, err := elf.Open(program(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a loader")
		}
	}
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it needs %v, %v", libraries, err)
	}
	if out, err := run(t, program(t), "version"); err != nil || !strings.HasPrefix(out, "authenta-ingest v0.0.0-deploy-test go") {
		t.Errorf("its version is %q, %v", out, err)
	}
}

// All files that the program is made of get to whoever builds the image, and what they do not need stays here.
func TestTheImageIsBuiltOfAllThatTheProgramNeeds(t *testing.T) {
	t.Parallel()
	patterns, err := ignorefile.ReadAll(strings.NewReader(read(t, "../.dockerignore")))
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := patternmatcher.New(patterns)
	if err != nil {
		t.Fatal(err)
	}
	isIgnored := func(path string) bool {
		is, err := ignored.MatchesOrParentMatches(path)
		if err != nil {
			t.Fatal(err)
		}
		return is
	}
	list := exec.Command("go", "list", "-deps", "-json=Dir,Module,GoFiles,EmbedFiles,SFiles", "./cmd/authenta-ingest")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	needed := []string{"go.mod", "go.sum"}
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                         string
			Module                      *struct{ Main bool }
			GoFiles, EmbedFiles, SFiles []string
		}
		if err := decoder.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		dir, err := filepath.Rel(root, p.Dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Concat(p.GoFiles, p.EmbedFiles, p.SFiles) {
			needed = append(needed, filepath.Join(dir, name))
		}
	}
	if len(needed) < 50 {
		t.Errorf("only %d files were found", len(needed))
	}
	for _, path := range needed {
		if isIgnored(path) {
			t.Errorf("%s is needed, and does not get to whoever builds the image", path)
		}
	}
	for _, path := range []string{".git/config", ".authenta-ingest/lock", "keys.env", "deploy/README.md", "queue/queue_test.go", "cmd/authenta-ingest/testdata/media/phone.mov"} {
		if !isIgnored(path) {
			t.Errorf("%s gets to whoever builds the image, and is not needed", path)
		}
	}
}
