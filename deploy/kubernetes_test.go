package deploy_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// manifests are those of one folder, as kubectl would send them.
type manifests struct {
	namespaces []core.Namespace
	maps       []core.ConfigMap
	claims     []core.PersistentVolumeClaim
	services   []core.Service
	stateful   []apps.StatefulSet
	deployed   []apps.Deployment
	policies   []networking.NetworkPolicy
	budgets    []policy.PodDisruptionBudget
	workloads  []workload
}

// A workload is a StatefulSet or a Deployment.
type workload struct {
	name     string
	replicas *int32
	selector map[string]string
	pod      core.PodTemplateSpec
}

// decode adds an object of a type, and takes nothing that the type does not have.
func decode[T any](t *testing.T, to *[]T, text []byte) T {
	t.Helper()
	var o T
	if err := yaml.UnmarshalStrict(text, &o); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	*to = append(*to, o)
	return o
}

// kustomized returns the manifests that kustomize makes of a folder.
func kustomized(t *testing.T, on filesys.FileSystem, dir string) (m manifests) {
	t.Helper()
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(on, dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, object := range objects.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		if kind, ns := object.GetKind(), object.GetNamespace(); kind != "Namespace" && ns != "authenta-ingest" {
			t.Errorf("%s %s is in namespace %q", kind, object.GetName(), ns)
		}
		switch kind := object.GetApiVersion() + " " + object.GetKind(); kind {
		case "v1 Namespace":
			decode(t, &m.namespaces, text)
		case "v1 ConfigMap":
			decode(t, &m.maps, text)
		case "v1 PersistentVolumeClaim":
			decode(t, &m.claims, text)
		case "v1 Service":
			decode(t, &m.services, text)
		case "networking.k8s.io/v1 NetworkPolicy":
			decode(t, &m.policies, text)
		case "policy/v1 PodDisruptionBudget":
			decode(t, &m.budgets, text)
		case "apps/v1 StatefulSet":
			s := decode(t, &m.stateful, text)
			m.workloads = append(m.workloads, workload{s.Name, s.Spec.Replicas, s.Spec.Selector.MatchLabels, s.Spec.Template})
		case "apps/v1 Deployment":
			d := decode(t, &m.deployed, text)
			m.workloads = append(m.workloads, workload{d.Name, d.Spec.Replicas, d.Spec.Selector.MatchLabels, d.Spec.Template})
		default:
			t.Errorf("%s: this test knows no %s", object.GetName(), kind)
		}
	}
	return m
}

// selected are the names of the workloads whose pods a selector picks.
func (m manifests) selected(selector map[string]string) (names []string) {
	for _, w := range m.workloads {
		if picks(selector, w.pod.Labels) {
			names = append(names, w.name)
		}
	}
	return names
}

func picks(selector, labels map[string]string) bool {
	for name, value := range selector {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// The manifests' folders, with the workloads of each.
var kubernetes = map[string][]string{"single": {"authenta-ingest"}, "cluster": {"watcher", "worker"}}

// ofEach tests the manifests of each folder.
func ofEach(t *testing.T, check func(*testing.T, manifests)) {
	t.Parallel()
	for name, workloads := range kubernetes {
		t.Run(name, func(t *testing.T) {
			m := kustomized(t, filesys.MakeFsOnDisk(), "kubernetes/"+name)
			if got := m.selected(nil); !slices.Equal(got, workloads) {
				t.Fatalf("workloads %v, want %v", got, workloads)
			}
			check(t, m)
		})
	}
}

func TestSelectorsPickThePodsTheyAreFor(t *testing.T) {
	ofEach(t, func(t *testing.T, m manifests) {
		all := m.selected(nil)
		for _, w := range m.workloads {
			if got := m.selected(w.selector); !slices.Equal(got, []string{w.name}) {
				t.Errorf("%s selects the pods of %v", w.name, got)
			}
		}
		for _, s := range m.stateful {
			i := slices.IndexFunc(m.services, func(v core.Service) bool { return v.Name == s.Spec.ServiceName })
			if i < 0 || m.services[i].Spec.ClusterIP != core.ClusterIPNone || !slices.Contains(m.selected(m.services[i].Spec.Selector), s.Name) {
				t.Errorf("%s has no headless service %q", s.Name, s.Spec.ServiceName)
			}
			if s.Spec.PodManagementPolicy != apps.ParallelPodManagement {
				t.Errorf("%s waits for a broken pod when that is to be replaced", s.Name)
			}
		}
		for _, b := range m.budgets {
			if got := m.selected(b.Spec.Selector.MatchLabels); !slices.Equal(got, []string{b.Name}) || b.Spec.MaxUnavailable.IntValue() != 1 {
				t.Errorf("the budget %s is for %v: %v", b.Name, got, b.Spec.MaxUnavailable)
			}
		}
		if len(m.budgets) != len(all) {
			t.Errorf("%d budgets for %v", len(m.budgets), all)
		}
		for _, w := range m.workloads {
			for _, s := range w.pod.Spec.TopologySpreadConstraints {
				if !picks(s.LabelSelector.MatchLabels, w.pod.Labels) {
					t.Errorf("%s spreads other pods than its own", w.name)
				}
			}
		}
	})
}

func TestServicesAndPoliciesLeadToPortsThatThePodsHave(t *testing.T) {
	ofEach(t, func(t *testing.T, m manifests) {
		for _, s := range m.services {
			if !s.Spec.PublishNotReadyAddresses || len(s.Spec.Selector) == 0 {
				t.Errorf("service %s: %+v", s.Name, s.Spec)
			}
			for _, p := range s.Spec.Ports {
				m.haveAll(t, "service "+s.Name, s.Spec.Selector, p.TargetPort.String(), p.Port)
			}
		}
		closed := false
		out := map[int]bool{}
		for _, p := range m.policies {
			selector := p.Spec.PodSelector.MatchLabels
			if len(selector) == 0 {
				closed = len(p.Spec.PolicyTypes) == 2 && len(p.Spec.Ingress)+len(p.Spec.Egress) == 0
			}
			for _, in := range p.Spec.Ingress {
				for _, from := range in.From {
					if from.NamespaceSelector == nil || from.PodSelector == nil && len(from.NamespaceSelector.MatchLabels) == 0 ||
						from.PodSelector != nil && len(from.PodSelector.MatchLabels) == 0 {
						t.Errorf("policy %s lets everybody in", p.Name)
					}
				}
				if len(in.From) == 0 || len(in.Ports) == 0 {
					t.Errorf("policy %s lets everybody in", p.Name)
				}
				for _, port := range in.Ports {
					m.haveAll(t, "policy "+p.Name, selector, port.Port.String(), 0)
				}
			}
			for _, to := range p.Spec.Egress {
				for _, port := range to.Ports {
					out[port.Port.IntValue()] = true
				}
			}
		}
		if !closed {
			t.Error("no policy closes the namespace")
		}
		for _, port := range []int{53, 443} {
			if !out[port] {
				t.Errorf("port %d of others cannot be reached", port)
			}
		}
		for _, c := range m.maps {
			if url := c.Data["NATS_URL"]; url != "" && !out[4222] {
				t.Errorf("%s cannot be reached", url)
			}
		}
	})
}

// haveAll wants each pod that a selector picks to have a port of a name, and of a number, if that is not 0.
func (m manifests) haveAll(t *testing.T, who string, selector map[string]string, name string, number int32) {
	t.Helper()
	found := m.selected(selector)
	if len(found) == 0 {
		t.Errorf("%s picks no pods by %v", who, selector)
	}
	for _, w := range m.workloads {
		if slices.Contains(found, w.name) && !slices.ContainsFunc(w.pod.Spec.Containers[0].Ports, func(p core.ContainerPort) bool {
			return p.Name == name && (number == 0 || p.ContainerPort == number)
		}) {
			t.Errorf("%s leads to port %s (%d), which %s has not", who, name, number, w.name)
		}
	}
}

func TestPodsNeedNoRights(t *testing.T) {
	ofEach(t, func(t *testing.T, m manifests) {
		if len(m.namespaces) != 1 || m.namespaces[0].Labels["pod-security.kubernetes.io/enforce"] != "restricted" {
			t.Errorf("the namespace lets pods have rights: %+v", m.namespaces)
		}
		for _, w := range m.workloads {
			pod, c := w.pod.Spec, w.pod.Spec.Containers[0]
			s, of := pod.SecurityContext, c.SecurityContext
			switch {
			case len(pod.Containers) != 1 || s == nil || of == nil:
				t.Errorf("%s: %+v", w.name, pod)
			case !*s.RunAsNonRoot || *s.RunAsUser != nobody || *s.RunAsGroup != nobody || *s.FSGroup != nobody || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
				t.Errorf("%s: %+v", w.name, s)
			case *of.AllowPrivilegeEscalation || !*of.ReadOnlyRootFilesystem || !slices.Equal(of.Capabilities.Drop, []core.Capability{"ALL"}) || of.Capabilities.Add != nil:
				t.Errorf("%s: %+v", w.name, of)
			case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken || pod.EnableServiceLinks == nil || *pod.EnableServiceLinks:
				t.Errorf("%s is told what it does not need", w.name)
			case c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero():
				t.Errorf("%s may take all of a node: %+v", w.name, c.Resources)
			case c.Image != "authenta-ingest:v1.2.3": // with a tag, or each start would ask a registry
				t.Errorf("%s runs %s", w.name, c.Image)
			}
		}
	})
}

func TestProbesAskWhatThePodServesAndArePatient(t *testing.T) {
	ofEach(t, func(t *testing.T, m manifests) {
		for _, w := range m.workloads {
			c := w.pod.Spec.Containers[0]
			for _, p := range []struct {
				probe   *core.Probe
				path    string
				seconds int32 // for which it may fail, at least
			}{{c.StartupProbe, "/healthz", 120}, {c.LivenessProbe, "/healthz", 180}, {c.ReadinessProbe, "/readyz", 10}} {
				if p.probe == nil || p.probe.HTTPGet == nil || p.probe.HTTPGet.Path != p.path || p.probe.HTTPGet.Port.String() != "http" ||
					p.probe.TimeoutSeconds != 5 || p.probe.PeriodSeconds*p.probe.FailureThreshold < p.seconds {
					t.Errorf("%s asks %s by %+v", w.name, p.path, p.probe)
				}
			}
		}
	})
}

// What is secret is in files, those of a folder, so that they are seen to change. What is written to is no folder of the image.
func TestWhatPodsMount(t *testing.T) {
	ofEach(t, func(t *testing.T, m manifests) {
		for _, w := range m.workloads {
			volumes := map[string]core.Volume{}
			for _, v := range w.pod.Spec.Volumes {
				volumes[v.Name] = v
				switch {
				case v.Secret != nil && (v.Secret.DefaultMode == nil || *v.Secret.DefaultMode != 0o440):
					t.Errorf("%s: the secret %s can be read by all", w.name, v.Secret.SecretName)
				case v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil:
					t.Errorf("%s: %s may take the node's disk", w.name, v.Name)
				case v.PersistentVolumeClaim != nil && !slices.ContainsFunc(m.claims, func(c core.PersistentVolumeClaim) bool { return c.Name == v.PersistentVolumeClaim.ClaimName }):
					t.Errorf("%s: there is no claim %s", w.name, v.PersistentVolumeClaim.ClaimName)
				}
			}
			for _, s := range m.stateful {
				if s.Name != w.name {
					continue
				}
				for _, c := range s.Spec.VolumeClaimTemplates {
					volumes[c.Name] = core.Volume{Name: c.Name}
					if !slices.Equal(c.Spec.AccessModes, []core.PersistentVolumeAccessMode{core.ReadWriteOncePod}) {
						t.Errorf("two pods may mount %s: %v", c.Name, c.Spec.AccessModes)
					}
				}
				if len(s.Spec.VolumeClaimTemplates) > 0 && *w.replicas != 1 {
					t.Errorf("%s makes %d stores", w.name, *w.replicas)
				}
			}
			for _, v := range w.pod.Spec.Containers[0].VolumeMounts {
				volume, ok := volumes[v.Name]
				if !ok || v.SubPath != "" || v.SubPathExpr != "" || volume.Secret != nil && !v.ReadOnly {
					t.Errorf("%s mounts %+v of %+v", w.name, v, volume)
				}
				delete(volumes, v.Name)
			}
			if len(volumes) > 0 {
				t.Errorf("%s mounts only some of its volumes, not %v", w.name, volumes)
			}
		}
	})
}

// variables are those of a workload's container, on top of those of the image.
func (m manifests) variables(t *testing.T, w workload) map[string]string {
	t.Helper()
	env := imageEnv(t)
	c := w.pod.Spec.Containers[0]
	for _, from := range c.EnvFrom {
		i := slices.IndexFunc(m.maps, func(c core.ConfigMap) bool { return from.ConfigMapRef != nil && c.Name == from.ConfigMapRef.Name })
		if i < 0 {
			t.Fatalf("%s has variables from %+v, which is not there", w.name, from)
		}
		for name, value := range m.maps[i].Data {
			env[name] = value
		}
	}
	for _, v := range c.Env {
		if env[v.Name] = v.Value; v.ValueFrom != nil {
			if v.ValueFrom.FieldRef == nil || v.ValueFrom.FieldRef.FieldPath != "metadata.name" {
				t.Errorf("%s: %s is from %+v", w.name, v.Name, v.ValueFrom)
			}
			env[v.Name] = w.name + "-0"
		}
	}
	return env
}

// credentials are those of a user of NATS servers that do not exist.
func credentials(t *testing.T) string {
	t.Helper()
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	signed, err := jwt.NewUserClaims(public).Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	file, err := jwt.FormatUserConfig(signed, seed)
	if err != nil {
		t.Fatal(err)
	}
	return string(file)
}

// settled returns what 'config' makes of a workload's variables, with its files in a folder of the test's.
func (m manifests) settled(t *testing.T, w workload) map[string]string {
	t.Helper()
	mounted := t.TempDir()
	for _, v := range w.pod.Spec.Containers[0].VolumeMounts {
		if err := os.MkdirAll(filepath.Join(mounted, v.MountPath), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var env []string
	for name, value := range m.variables(t, w) {
		stateless := name == "INGEST_STATE_DIR" && w.name != "authenta-ingest" // with NATS servers of others there is no store
		if filepath.IsAbs(value) && name != "PATH" && !stateless {
			value = filepath.Join(mounted, value)
			if _, err := os.Stat(filepath.Dir(value)); err != nil {
				t.Errorf("%s: %s is in no volume: %v", w.name, name, err)
			} else if name == "NATS_CREDS" {
				write(t, value, credentials(t), 0o600)
			} else if strings.HasSuffix(name, "_FILE") {
				write(t, value, "something", 0o600)
			}
		}
		env = append(env, name+"="+value)
	}
	c := exec.Command(program(t), "config", "--json")
	c.Env = env
	var complaints strings.Builder
	c.Stderr = &complaints
	out, err := c.Output()
	if err != nil || complaints.Len() > 0 { // a variable that is no setting is told there
		t.Errorf("%s: config: %v: %s", w.name, err, complaints.String())
	}
	var list []struct{ Name, Value string }
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range list {
		settings[s.Name] = strings.TrimPrefix(s.Value, mounted)
	}
	return settings
}

func TestPodsHaveSettingsThatTheProgramTakes(t *testing.T) {
	ofEach(t, func(t *testing.T, m manifests) {
		for _, w := range m.workloads {
			s := m.settled(t, w)
			for _, p := range w.pod.Spec.Containers[0].Ports {
				listens := map[string]string{"http": s["INGEST_HTTP"], "nats": s["INGEST_NATS_LISTEN"]}[p.Name]
				if listens != "0.0.0.0:"+map[string]string{"http": "8080", "nats": "4222"}[p.Name] || !strings.HasSuffix(listens, ":"+strconv.Itoa(int(p.ContainerPort))) {
					t.Errorf("%s has port %s as %d, and listens on %q", w.name, p.Name, p.ContainerPort, listens)
				}
			}
			drain, err := time.ParseDuration(s["INGEST_DRAIN"])
			if grace := w.pod.Spec.TerminationGracePeriodSeconds; err != nil || grace == nil || time.Duration(*grace)*time.Second < drain+30*time.Second {
				t.Errorf("%s has %v seconds to end, INGEST_DRAIN=%s", w.name, grace, s["INGEST_DRAIN"])
			}
			if role := w.pod.Labels["app.kubernetes.io/component"]; s["INGEST_ROLE"] != role {
				t.Errorf("%s is a %s by its label, and a %s by its settings", w.name, role, s["INGEST_ROLE"])
			}
			if works := s["INGEST_ROLE"] != "watcher"; works != (s["AUTHENTA_CLIENT_ID_FILE"] != "" && s["AUTHENTA_CLIENT_SECRET_FILE"] != "") {
				t.Errorf("%s is a %s: it needs a key, and nobody else does", w.name, s["INGEST_ROLE"])
			}
			for _, name := range []string{"AUTHENTA_CLIENT_ID", "AUTHENTA_CLIENT_SECRET", "AUTHENTA_API_KEY"} {
				if s[name] != "" {
					t.Errorf("%s has %s in its variables", w.name, name)
				}
			}
			if (s["NATS_URL"] == "") != (w.name == "authenta-ingest") {
				t.Errorf("%s asks NATS at %q", w.name, s["NATS_URL"])
			}
		}
	})
}

// The daemon alone keeps its NATS server behind a token; a watcher of many stages what workers cannot see.
func TestWhatTheWorkloadsAreFor(t *testing.T) {
	t.Parallel()
	single := kustomized(t, filesys.MakeFsOnDisk(), "kubernetes/single")
	if s := single.settled(t, single.workloads[0]); s["INGEST_NATS_TOKEN_FILE"] == "" || s["INGEST_HOST"] != "authenta-ingest-0" {
		t.Errorf("the daemon has the settings %v", s)
	}
	cluster := kustomized(t, filesys.MakeFsOnDisk(), "kubernetes/cluster")
	if s := cluster.settled(t, cluster.workloads[0]); s["INGEST_STAGE"] != "store" || s["INGEST_REPLICAS"] != "3" || s["INGEST_HOST"] != "watcher-0" {
		t.Errorf("the watcher has the settings %v", s)
	}
	if d := cluster.deployed; len(d) != 1 || d[0].Spec.Strategy.Type != apps.RecreateDeploymentStrategyType || len(d[0].Spec.Template.Spec.TopologySpreadConstraints) != 1 {
		t.Errorf("workers are replaced one by one, or all on one node: %+v", d)
	}
}

// The example in README.md changes what it says, and nothing is lost on the way.
func TestAFolderOfOnesOwnChangesTheManifests(t *testing.T) {
	t.Parallel()
	examples := slices.DeleteFunc(blocks(t, "An image", "yaml"), func(b string) bool { return !strings.Contains(b, "kind: Kustomization") })
	here, err := filepath.Abs("kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	to, err := filepath.Rel(dir, here)
	if err != nil || len(examples) != 1 || strings.Count(examples[0], "../authenta-ingest/deploy/kubernetes") != 1 {
		t.Fatalf("%v; README.md has the examples %v", err, examples)
	}
	write(t, filepath.Join(dir, "kustomization.yaml"), strings.Replace(examples[0], "../authenta-ingest/deploy/kubernetes", to, 1), 0o644)
	m := kustomized(t, filesys.MakeFsOnDisk(), dir)
	if len(m.workloads) != 1 || len(m.claims) != 0 {
		t.Fatalf("it makes %v, and the claims %v", m.selected(nil), m.claims)
	}
	w := m.workloads[0]
	if image := w.pod.Spec.Containers[0].Image; image != "registry.example.com/authenta-ingest:v1.2.3" {
		t.Errorf("the image is %s", image)
	}
	if s := m.settled(t, w); s["INGEST_SETTLE"] != "30s" || s["INGEST_DIRS"] != "/inbox" {
		t.Errorf("the settings are %v", s)
	}
	if v := w.pod.Spec.Volumes; len(v) != 4 || v[0].Name != "inbox" || v[0].PersistentVolumeClaim == nil || v[0].PersistentVolumeClaim.ClaimName != "media" {
		t.Errorf("the volumes are %+v", v)
	}
}
