package deploy_test

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// A rule is an entry of alerts.yml.
type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

// rules reads alerts.yml. Promtool checks what is not read here.
func rules(t *testing.T) []rule {
	t.Helper()
	var file struct {
		Groups []struct {
			Name  string
			Rules []rule
		}
	}
	if err := yaml.UnmarshalStrict([]byte(read(t, "prometheus/alerts.yml")), &file); err != nil {
		t.Fatal(err)
	}
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

// alerts are the rules that are alerts, by name.
func alerts(t *testing.T) map[string]rule {
	t.Helper()
	found := map[string]rule{}
	for _, r := range rules(t) {
		if r.Alert != "" {
			found[r.Alert] = r
		}
	}
	if len(found) < 20 {
		t.Fatalf("only %d alerts were found", len(found))
	}
	return found
}

func TestEachAlertFiresWhenItShouldAndNoOtherDoes(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	for _, args := range [][]string{{"check", "rules", "prometheus/alerts.yml"}, {"test", "rules", "prometheus/alerts_test.yml"}} {
		if out, err := run(t, promtool, args...); err != nil {
			t.Errorf("promtool %v: %v: %s", args, err, out)
		}
	}
	tested := map[string]bool{}
	for _, m := range regexp.MustCompile(`ALERTS\{alertname="(\w+)", alertstate="firing"`).FindAllStringSubmatch(read(t, "prometheus/alerts_test.yml"), -1) {
		tested[m[1]] = true
	}
	for name := range alerts(t) {
		if !tested[name] {
			t.Errorf("no test has %s fire", name)
		}
	}
}

// Whoever is woken finds what to do.
func TestEachAlertHasAnEntryInTheRunbook(t *testing.T) {
	t.Parallel()
	const page = "https://github.com/authenta/authenta-ingest/blob/main/deploy/README.md#"
	_, runbook, ok := strings.Cut(read(t, "README.md"), "\n## Runbook\n")
	if !ok {
		t.Fatal("README.md has no runbook")
	}
	runbook, _, _ = strings.Cut(runbook, "\n## ")
	entries := map[string]string{}
	for entry := range strings.SplitSeq(runbook, "\n### ") {
		name, text, _ := strings.Cut(entry, "\n")
		entries[name] = text
	}
	all := alerts(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		a := all[name]
		if a.Annotations["runbook_url"] != page+strings.ToLower(name) {
			t.Errorf("%s leads to %s", name, a.Annotations["runbook_url"])
		}
		for _, annotation := range []string{"summary", "description"} {
			if a.Annotations[annotation] == "" {
				t.Errorf("%s has no %s", name, annotation)
			}
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) {
			t.Errorf("%s has the severity %q", name, a.Labels["severity"])
		}
		for _, part := range []string{"- **Means:** ", "- **By itself:** ", "- **Look at:** ", "- **Do:** "} {
			if strings.Count(entries[name], "\n"+part) != 1 {
				t.Errorf("the runbook does not say for %s: %s", name, part)
			}
		}
	}
	for name := range entries {
		if _, known := all[name]; !known && strings.HasPrefix(name, "AuthentaIngest") {
			t.Errorf("the runbook has an entry for %s, which is no alert", name)
		}
	}
}

// The links within README.md lead somewhere.
func TestTheLinksOfTheRunbookLeadSomewhere(t *testing.T) {
	t.Parallel()
	text := read(t, "README.md")
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchors[strings.ReplaceAll(regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	links := regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1)
	if len(links) < 10 {
		t.Errorf("only %d links were found", len(links))
	}
	for _, m := range links {
		if !anchors[m[1]] {
			t.Errorf("nothing is at #%s", m[1])
		}
	}
}

func TestAlertsAskForWhatTheProgramExports(t *testing.T) {
	t.Parallel()
	e := scrape(t)
	for _, r := range rules(t) {
		for _, mistake := range e.mistakes(r.Expr) {
			t.Errorf("%s%s: %s", r.Alert, r.Record, mistake)
		}
	}
}

func TestTheExamplesForPrometheusAreConfigurations(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	// Debian's promtool is built without Kubernetes: how it is asked for pods is not checked, what is made of them is.
	pods := regexp.MustCompile(`(?m)^    kubernetes_sd_configs:\n(      .*\n)+`)
	for _, example := range blocks(t, "Prometheus and Grafana", "yaml") {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "prometheus.yml"), pods.ReplaceAllString(example, "    static_configs: [{targets: [pod]}]\n"), 0o644)
		write(t, filepath.Join(dir, "alerts.yml"), read(t, "prometheus/alerts.yml"), 0o644)
		if out, err := run(t, promtool, "check", "config", filepath.Join(dir, "prometheus.yml")); err != nil {
			t.Errorf("%v: %s\n%s", err, out, example)
		}
	}
}
