package deploy_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A dashboard is what is checked of one; Grafana has no check of its own to be had.
type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type, Definition string
			Datasource             source
		}
	}
	Panels []dashboardPanel
}

type dashboardPanel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               source
	Targets                  []struct {
		RefID, Expr, LegendFormat string
		Datasource                source
	}
}

type source struct{ Type, UID string }

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	var d dashboard
	if err := json.Unmarshal([]byte(read(t, "grafana/authenta-ingest.json")), &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Panels) < 30 || d.UID == "" || d.Title == "" || d.SchemaVersion < 39 {
		t.Fatalf("this is no dashboard: %+v", d)
	}
	return d
}

func TestTheDashboardShowsWhatTheProgramExports(t *testing.T) {
	t.Parallel()
	e := scrape(t)
	shown := map[string]bool{}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, mistake := range e.mistakes(target.Expr) {
				t.Errorf("%s: %s", p.Title, mistake)
			}
			for _, s := range selector.FindAllStringSubmatch(target.Expr, -1) {
				if f := e.family(s[1]); f != nil {
					shown[f.GetName()] = true
				}
			}
		}
	}
	for _, v := range d.Templating.List {
		for _, mistake := range e.mistakes(v.Definition) {
			t.Errorf("the variable %s: %s", v.Name, mistake)
		}
	}
	for name := range e.families {
		if strings.HasPrefix(name, "authenta_ingest_") && !shown[name] {
			t.Errorf("%s is on no panel", name)
		}
	}
}

// The queries are as Prometheus wants them, with something in the place of Grafana's variables.
func TestTheDashboardsQueriesAreQueries(t *testing.T) {
	t.Parallel()
	promtool := tool(t, "promtool")
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range readDashboard(t).Panels {
		for _, target := range p.Targets {
			expr := strings.ReplaceAll(target.Expr, "$__rate_interval", "5m")
			expr = regexp.MustCompile(`\$\w+`).ReplaceAllString(expr, ".*")
			fmt.Fprintf(&rules, "  - {record: panel_%d, expr: %q}\n", n, expr)
			n++
		}
	}
	path := filepath.Join(t.TempDir(), "dashboard.yml")
	write(t, path, rules.String(), 0o644)
	if out, err := run(t, promtool, "check", "rules", path); err != nil || !strings.Contains(out, fmt.Sprint(n, " rules found")) {
		t.Errorf("%v: %s", err, out)
	}
}

// Each panel has its place and says what it shows, and all ask the Prometheus that whoever looks has chosen, for what they have chosen.
func TestTheDashboardFitsTogether(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if want := (source{"prometheus", "${datasource}"}); v.Type == "query" && v.Datasource != want {
			t.Errorf("the variable %s asks %v", v.Name, v.Datasource)
		}
	}
	if want := []string{"datasource", "namespace", "job", "instance"}; !slices.Equal(variables, want) {
		t.Errorf("the variables are %v, want %v", variables, want)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s is at %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s is on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("%q shows nothing, or does not say what", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%s asks %s", p.Title, target.Datasource.UID)
			}
			for _, v := range regexp.MustCompile(`\$(\w+)`).FindAllStringSubmatch(target.Expr, -1) {
				if v[1] != "__rate_interval" && !slices.Contains(variables, v[1]) {
					t.Errorf("%s asks for $%s, which is no variable", p.Title, v[1])
				}
			}
		}
	}
}
