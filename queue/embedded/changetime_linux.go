package embedded

import "syscall"

// changeTime is when an inode was changed, which no program can set back.
func changeTime(st *syscall.Stat_t) syscall.Timespec { return st.Ctim }
