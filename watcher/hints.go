package watcher

import "sync"

// maxHints is how many paths may wait to be looked at: beyond, a scan is cheaper in memory.
const maxHints = 1 << 16

// hints is a set of paths about which something may have changed. Adding never blocks, so that no event is lost for
// a slow reader; when there are too many, they become one: all may have changed.
type hints struct {
	mu    sync.Mutex
	paths map[string]struct{}
	all   bool
	more  chan struct{} // holds one when the set is not empty
}

func newHints() *hints {
	return &hints{paths: map[string]struct{}{}, more: make(chan struct{}, 1)}
}

func (h *hints) add(path string) {
	h.mu.Lock()
	if _, there := h.paths[path]; !there && len(h.paths) == maxHints {
		h.all = true
	} else {
		h.paths[path] = struct{}{}
	}
	h.mu.Unlock()
	h.wake()
}

// addAll says that anything may have changed.
func (h *hints) addAll() {
	h.mu.Lock()
	h.all = true
	h.mu.Unlock()
	h.wake()
}

func (h *hints) wake() {
	select {
	case h.more <- struct{}{}:
	default:
	}
}

// take empties the set. all says that other paths may have changed as well.
func (h *hints) take() (paths map[string]struct{}, all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	paths, all = h.paths, h.all
	h.paths, h.all = map[string]struct{}{}, false
	return paths, all
}
