package worker

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/authenta/authenta-ingest/queue"
	"github.com/authenta/authenta-ingest/queue/control"
)

// A place is a machine on which somebody works now, and the folders that are watched there; none: it is not known what it sees.
type place struct {
	host string
	dirs []string
}

// placesOf are the machines of workers, each once, with all that is watched there.
func placesOf(workers []control.Member) []place {
	var all []place
	for _, m := range workers {
		i := slices.IndexFunc(all, func(p place) bool { return p.host == m.Host })
		if i < 0 {
			i, all = len(all), append(all, place{host: m.Host})
		}
		all[i].dirs = append(all[i].dirs, m.Dirs...)
	}
	return all
}

// route says which machine is to look for the files of a job that this one cannot read, or "" if none is left: then they are
// gone, or of no use. It is pure.
//
// A file is settled when its own machine could not read it, or this one could not and nobody is known to be nearer to it. While
// one is not, the job goes on to where somebody works: to a file's own machine first, then to one that watches a folder
// above a file (several may share it), then to one of which it is not known what it sees. When all those have looked, it waits
// for the first file's own machine, whether or not anybody works there now.
func route(j queue.Job, here string, live []place) (to string) {
	if here == "" {
		return "" // all see the same files
	}
	looked := func(host string) bool { return host == here || slices.Contains(j.Passed, host) }
	left := slices.DeleteFunc(slices.Clone(j.Drops), func(d queue.Drop) bool { return d.Host == "" || looked(d.Host) })
	if len(left) == 0 {
		return ""
	}
	for _, d := range left {
		if slices.ContainsFunc(live, func(p place) bool { return p.host == d.Host }) {
			return d.Host
		}
	}
	for _, may := range []func(place) bool{
		func(p place) bool { return slices.ContainsFunc(left, p.watches) },
		func(p place) bool { return len(p.dirs) == 0 },
	} {
		i := slices.IndexFunc(live, func(p place) bool { return p.host != "" && !looked(p.host) && may(p) })
		if i >= 0 {
			return live[i].host
		}
	}
	return left[0].Host
}

// watches reports whether a folder is watched there, under the same path, that the file of a drop is in.
func (p place) watches(d queue.Drop) bool {
	path, err := queue.FilePath(d.URI)
	return err == nil && slices.ContainsFunc(p.dirs, func(dir string) bool {
		return strings.HasPrefix(path, strings.TrimSuffix(dir, string(filepath.Separator))+string(filepath.Separator))
	})
}
