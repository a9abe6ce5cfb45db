package watcher

import "golang.org/x/sys/unix"

// isRemote reports whether a folder is on a file system that sends no events for what others write.
func isRemote(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.MNT_LOCAL == 0
}
