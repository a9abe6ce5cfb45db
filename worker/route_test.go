package worker

import (
	"testing"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

func TestWhereAJobGoesThatThisMachineCannotWorkOn(t *testing.T) {
	on := func(host, path string) queue.Drop { return queue.Drop{Host: host, URI: queue.FileURI(path)} }
	at := func(host string, dirs ...string) place { return place{host, dirs} }
	own := at("b", "/mine")
	for name, c := range map[string]struct {
		drops  []queue.Drop
		passed []string
		here   string
		live   []place
		want   string
	}{
		"all see the same files":                             {[]queue.Drop{on("a", "/in/f")}, nil, "", []place{at("a")}, ""},
		"a file of everybody's is gone":                      {[]queue.Drop{on("", "/in/f")}, nil, "b", []place{own, at("a")}, ""},
		"it was here":                                        {[]queue.Drop{on("b", "/in/f")}, nil, "b", []place{own, at("a", "/in")}, ""},
		"it was here, and nobody else works":                 {[]queue.Drop{on("b", "/in/f")}, nil, "b", []place{own}, ""},
		"its own machine works":                              {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{own, at("c", "/in"), at("a")}, "a"},
		"its own machine has looked":                         {[]queue.Drop{on("a", "/in/f")}, []string{"a"}, "b", []place{own, at("a"), at("c", "/in")}, ""},
		"one file is settled, the other's machine works":     {[]queue.Drop{on("b", "/in/f"), on("a", "/in/g")}, nil, "b", []place{own, at("a")}, "a"},
		"the second file's machine works, the first's not":   {[]queue.Drop{on("a", "/in/f"), on("c", "/in/g")}, nil, "b", []place{own, at("c", "/x")}, "c"},
		"somebody watches its folder":                        {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{own, at("d"), at("c", "/x", "/in")}, "c"},
		"somebody watches a folder above its folder":         {[]queue.Drop{on("a", "/in/deep/er/f")}, nil, "b", []place{own, at("c", "/in")}, "c"},
		"somebody watches everything":                        {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{own, at("c", "/")}, "c"},
		"a folder that only begins the same":                 {[]queue.Drop{on("a", "/inbox/f")}, nil, "b", []place{own, at("c", "/in")}, "a"},
		"somebody who watches its folder has looked":         {[]queue.Drop{on("a", "/in/f")}, []string{"c"}, "b", []place{own, at("c", "/in"), at("d", "/in")}, "d"},
		"this machine watches its folder, and cannot see it": {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{at("b", "/in")}, "a"},
		"somebody works of whom nothing is known":            {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{own, at("c", "/x"), at("d")}, "d"},
		"all of those have looked":                           {[]queue.Drop{on("a", "/in/f")}, []string{"d"}, "b", []place{own, at("c", "/x"), at("d")}, "a"},
		"nobody else works":                                  {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{own}, "a"},
		"nobody else works, and a file was here":             {[]queue.Drop{on("b", "/in/f"), on("a", "/in/g"), on("c", "/in/h")}, nil, "b", []place{own}, "a"},
		"workers of before, or on an embedded broker":        {[]queue.Drop{on("a", "/in/f")}, nil, "b", []place{own, at("")}, "a"},
		"no worker is known of, not even this one":           {[]queue.Drop{on("a", "/in/f")}, nil, "b", nil, "a"},
		"an object elsewhere, which no folder has":           {[]queue.Drop{{Host: "a", URI: "nats-object://bucket/in/f"}}, nil, "b", []place{own, at("c", "/in")}, "a"},
	} {
		t.Run(name, func(t *testing.T) {
			j := queue.Job{Drops: c.drops, Passed: c.passed}
			if to := route(j, c.here, c.live); to != c.want {
				t.Errorf("to %q, want %q", to, c.want)
			}
		})
	}
}

// Wherever a job goes, it has not been: it ends, in a failure or at a file's own machine, after each has looked once.
func TestAJobVisitsNoMachineTwice(t *testing.T) {
	hosts := []string{"a", "b", "c", "d"}
	var drops []queue.Drop
	for i := range 4 {
		drops = append(drops, queue.Drop{Host: hosts[i], URI: queue.FileURI("/in/" + hosts[i])})
	}
	for of := range 1 << 4 { // whose files they are, and who works
		for works := range 1 << 4 {
			j := queue.Job{}
			var live []place
			for i, host := range hosts {
				if of&(1<<i) != 0 {
					j.Drops = append(j.Drops, drops[i])
				}
				if works&(1<<i) != 0 {
					live = append(live, place{host: host})
				}
			}
			if len(live) == 0 || len(j.Drops) == 0 {
				continue
			}
			here, seen := live[0].host, map[string]bool{}
			for {
				if seen[here] {
					t.Fatalf("files of %v, workers %v: twice at %s", j.Drops, live, here)
				}
				seen[here] = true
				to := route(j, here, live)
				j.Passed = append(j.Passed, here)
				if to == "" || works&(1<<(to[0]-'a')) == 0 {
					break
				}
				here = to
			}
			for _, p := range live {
				if mine := p.host[0] - 'a'; of&(1<<mine) != 0 && !seen[p.host] {
					t.Errorf("files of %v, workers %v: %s has not looked", j.Drops, live, p.host)
				}
			}
		}
	}
}

func TestAMachineWatchesWhatAllOnItWatch(t *testing.T) {
	all := placesOf([]control.Member{{Host: "a", Dirs: []string{"/x"}}, {Host: "b"}, {Host: "a", Dirs: []string{"/y"}}})
	if len(all) != 2 || all[0].host != "a" || len(all[0].dirs) != 2 || all[1].host != "b" || len(all[1].dirs) != 0 {
		t.Errorf("%+v", all)
	}
}
