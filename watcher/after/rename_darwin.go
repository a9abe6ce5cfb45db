package after

import "golang.org/x/sys/unix"

// renameNew renames, and fails if the new name is taken. Not every file system can do that.
func renameNew(from int, name string, to int, newName string) error {
	return unix.RenameatxNp(from, name, to, newName, unix.RENAME_EXCL)
}
