package watcher

import "golang.org/x/sys/unix"

// remoteKinds are file systems that other machines or programs write to without this kernel knowing: they send no
// events for that. By statfs(2), the
// kernel's sources, and what coreutils' stat counts as remote.
var remoteKinds = map[uint32]bool{
	unix.NFS_SUPER_MAGIC: true, unix.SMB_SUPER_MAGIC: true, unix.SMB2_SUPER_MAGIC: true, unix.CIFS_SUPER_MAGIC: true,
	unix.FUSE_SUPER_MAGIC: true, unix.V9FS_MAGIC: true, unix.CEPH_SUPER_MAGIC: true, unix.AFS_SUPER_MAGIC: true,
	unix.AFS_FS_MAGIC: true, unix.CODA_SUPER_MAGIC: true, unix.OCFS2_SUPER_MAGIC: true, unix.NCP_SUPER_MAGIC: true,
	0x0BD00BD0: true, // Lustre
	0x19830326: true, // BeeGFS
	0x20030528: true, // OrangeFS
	0x47504653: true, // GPFS
	0x01161970: true, // GFS2
	0xA501FCF5: true, // VxFS
	0xAAD7AAEA: true, // PanFS
	0xBEEFDEAD: true, // StorNext
	0x786F4256: true, // VirtualBox shared folders
	0xBACBACBC: true, // VMware shared folders
	0x7C7C6673: true, // Parallels shared folders
}

// isRemote reports whether a folder is on a file system that sends no events for what others write.
func isRemote(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && remoteKinds[uint32(st.Type)]
}
