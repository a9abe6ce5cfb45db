package watcher

import "golang.org/x/sys/unix"

// mountID returns the number of the mount that a folder is on; 0: the system does not tell. A file system that is mounted
// again often has the device and the inodes that it had, but is another mount.
func mountID(path string) uint64 {
	var st unix.Statx_t
	// Kernels before 6.8 know only of numbers that are given anew.
	for _, mask := range []int{unix.STATX_MNT_ID_UNIQUE, unix.STATX_MNT_ID} {
		if err := unix.Statx(unix.AT_FDCWD, path, 0, mask, &st); err == nil && int(st.Mask)&mask != 0 {
			return st.Mnt_id
		}
	}
	return 0
}
