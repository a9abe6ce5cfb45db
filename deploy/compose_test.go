package deploy_test

import (
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/nats-io/nats-server/v2/server"
)

// composed returns what compose makes of compose.yaml, with these variables set besides.
func composed(t *testing.T, env types.Mapping) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  ".",
		ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml"}},
		Environment: env,
	})
}

// service returns one of compose.yaml.
func service(t *testing.T, name string) types.ServiceConfig {
	t.Helper()
	p, err := composed(t, types.Mapping{"NATS_PASSWORD": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := p.Services[name]
	if !ok || len(p.Services) != 2 {
		t.Fatalf("compose.yaml has the services %v", p.ServiceNames())
	}
	return s
}

// mount returns what is mounted at a path of a service.
func mount(t *testing.T, s types.ServiceConfig, target string) types.ServiceVolumeConfig {
	t.Helper()
	i := slices.IndexFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == target })
	if i < 0 {
		t.Fatalf("%s has nothing mounted at %s", s.Name, target)
	}
	return s.Volumes[i]
}

// What compose.yaml is made of fits together: compose refuses a volume, a service or a key that does not exist.
func TestComposeTakesTheFileAndWantsAPassword(t *testing.T) {
	t.Parallel()
	p, err := composed(t, types.Mapping{"NATS_PASSWORD": "secret"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range p.Services {
		for _, v := range s.Volumes {
			if _, known := p.Volumes[v.Source]; v.Type == types.VolumeTypeVolume && !known {
				t.Errorf("%s mounts the volume %s, which is not declared", s.Name, v.Source)
			}
		}
	}
	if _, err := composed(t, types.Mapping{}); err == nil || !strings.Contains(err.Error(), "deploy/.env") {
		t.Errorf("without a password of NATS: %v", err)
	}
}

func TestTheServicesOfComposeHaveNoRightThatTheyDoNotNeed(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"nats", "ingest"} {
		s := service(t, name)
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || len(s.CapAdd) > 0 || s.Privileged {
			t.Errorf("%s: read_only is %v, cap_drop %v, cap_add %v, privileged %v", name, s.ReadOnly, s.CapDrop, s.CapAdd, s.Privileged)
		}
		if !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("%s: security_opt is %v", name, s.SecurityOpt)
		}
		if s.Restart != "unless-stopped" || s.Logging == nil || s.Logging.Options["max-size"] == "" || s.Logging.Options["max-file"] == "" {
			t.Errorf("%s: restart is %q, logging %+v", name, s.Restart, s.Logging)
		}
		if len(s.Ports) == 0 {
			t.Errorf("%s has no port", name)
		}
		for _, p := range s.Ports {
			if p.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to others, at %q", name, p.Published, p.HostIP)
			}
		}
		for _, v := range s.Volumes {
			if v.Type == types.VolumeTypeBind && (!v.ReadOnly || v.Bind == nil || bool(v.Bind.CreateHostPath)) {
				t.Errorf("%s: %s may be written to, or is made if it is not there", name, v.Source)
			}
		}
	}
}

// The daemon's service is the image of the Dockerfile, with settings that exist, and folders where these say.
func TestTheDaemonOfComposeHasItsSettings(t *testing.T) {
	t.Parallel()
	s := service(t, "ingest")
	if s.Image != "authenta-ingest" || s.Build == nil || s.User != "65532:65532" || len(s.Entrypoint)+len(s.Command) > 0 || s.HealthCheck != nil {
		t.Errorf("it is not the image as it is built: %+v", s)
	}
	env := s.Environment.Resolve(func(string) (string, bool) { return "", false })
	value := func(name string) string {
		if env[name] == nil {
			t.Fatalf("%s is not set", name)
		}
		return *env[name]
	}
	for name := range env {
		if name != "TMPDIR" && !isSetting(t, name) {
			t.Errorf("there is no setting %s", name)
		}
	}
	if value("NATS_URL") != "nats://ingest:secret@nats:4222" || value("INGEST_HOST") == "" {
		t.Errorf("NATS_URL is %s, INGEST_HOST %q", value("NATS_URL"), value("INGEST_HOST"))
	}
	if p := s.Ports[0]; value("INGEST_HTTP") != "0.0.0.0:8080" || p.Target != 8080 || p.Published != "8080" {
		t.Errorf("it listens at %s, and port %d is published", value("INGEST_HTTP"), p.Target)
	}
	for _, name := range []string{"AUTHENTA_CLIENT_ID_FILE", "AUTHENTA_CLIENT_SECRET_FILE"} {
		if m := mount(t, s, path.Dir(value(name))); m.Type != types.VolumeTypeBind {
			t.Errorf("the folder of %s is a %s", name, m.Type)
		}
	}
	// Files have inside the path that they have outside.
	if m := mount(t, s, value("INGEST_DIRS")); m.Source != m.Target {
		t.Errorf("%s is mounted at %s", m.Source, m.Target)
	}
	if m := mount(t, s, value("TMPDIR")); m.Type != types.VolumeTypeVolume || m.ReadOnly {
		t.Errorf("copies go to %+v", m)
	}
	drain := 30 * time.Second // the default
	if v := env["INGEST_DRAIN"]; v != nil {
		var err error
		if drain, err = time.ParseDuration(*v); err != nil {
			t.Fatal(err)
		}
	}
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < drain+30*time.Second {
		t.Errorf("it gets %v to stop, and needs %s and half a minute for what comes after", s.StopGracePeriod, drain)
	}
}

// The server is the version that the tests run with. Its configuration is read by its own parser, also with passwords that look
// like something else, and all that is acknowledged is on the volume.
func TestTheNATSOfComposeLosesNothingAndWantsThePassword(t *testing.T) {
	s := service(t, "nats")
	if want := "nats:" + server.VERSION + "-alpine"; s.Image != want {
		t.Errorf("the image is %s, want %s as in go.mod", s.Image, want)
	}
	conf := s.Entrypoint[len(s.Entrypoint)-1]
	if m := mount(t, s, conf); path.Base(m.Source) != "nats.conf" {
		t.Errorf("the configuration is %s", m.Source)
	}
	for _, password := range []string{"secret", "12345678", "1e9", "12k", "true"} {
		p, err := composed(t, types.Mapping{"NATS_PASSWORD": password})
		if err != nil {
			t.Fatal(err)
		}
		t.Setenv("NATS_PASSWORD", *p.Services["nats"].Environment["NATS_PASSWORD"])
		o, err := server.ProcessConfigFile("nats.conf")
		if err != nil {
			t.Fatalf("password %s: %v", password, err)
		}
		if len(o.Users) != 1 || o.Users[0].Username != "ingest" || o.Users[0].Password != password || o.NoAuthUser != "" {
			t.Errorf("password %s: the users are %+v", password, o.Users)
		}
		if !o.JetStream || !o.SyncAlways {
			t.Errorf("JetStream is %v, sync always %v", o.JetStream, o.SyncAlways)
		}
		if m := mount(t, s, o.StoreDir); m.Type != types.VolumeTypeVolume || m.ReadOnly {
			t.Errorf("the store is on %+v", m)
		}
		if int(s.Ports[0].Target) != o.Port {
			t.Errorf("port %d is published, and the server listens on %d", s.Ports[0].Target, o.Port)
		}
		if s.HealthCheck == nil || !slices.Contains(s.HealthCheck.Test, "http://127.0.0.1:8222/healthz") || o.HTTPPort != 8222 || o.HTTPHost != "127.0.0.1" {
			t.Errorf("the health check is %+v, and the server tells it at %s:%d", s.HealthCheck, o.HTTPHost, o.HTTPPort)
		}
	}
}
