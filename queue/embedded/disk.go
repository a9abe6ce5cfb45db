package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"
)

// mostReserve and reserveShare say how much of the disk is kept for the work in hand: records grow, verdicts are written.
// A job takes some 10 kB on its way, so that half a gigabyte is enough for 50,000 in hand.
const (
	mostReserve  = 512 << 20
	reserveShare = 10 // of a small disk, a tenth
)

// A disk is the file system of a folder.
type disk struct {
	dir  string
	full atomic.Bool                                      // there was too little room at the last look
	stat func(dir string) (free, total uint64, err error) // nil: the system's
}

// room returns why nothing new should be taken in; nil: there is room. Once there was none, there has to be a quarter
// more of it than what made it so.
func (d *disk) room() error {
	free, total, err := d.space()
	if err != nil {
		return nil // then writing will tell
	}
	reserve := min(mostReserve, total/reserveShare)
	if d.full.Load() {
		reserve += reserve / 4
	}
	d.full.Store(free < reserve)
	if free < reserve {
		return fmt.Errorf("the disk of INGEST_STATE_DIR=%s has %s left, and %s are kept for the work in hand: make room on it", d.dir, megabytes(free), megabytes(reserve))
	}
	return nil
}

// writable reports whether a store that was stopped by a full disk can go on: there is some of the reserve.
func (d *disk) writable() bool {
	free, total, err := d.space()
	return err != nil || free >= min(mostReserve, total/reserveShare)/2
}

func (d *disk) space() (free, total uint64, err error) {
	if d.stat != nil {
		return d.stat(d.dir)
	}
	return space(d.dir)
}

// space returns the bytes that a user may still write to a folder's file system, and all that it has. Where the folder is
// still to be made, it is the one above that counts.
func space(dir string) (free, total uint64, err error) {
	for _, err := os.Stat(dir); err != nil && dir != filepath.Dir(dir); _, err = os.Stat(dir) {
		dir = filepath.Dir(dir)
	}
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, 0, err
	}
	size := uint64(st.Bsize)
	return uint64(st.Bavail) * size, uint64(st.Blocks) * size, nil
}

func megabytes(n uint64) string { return fmt.Sprintf("%d MB", uint64(math.Round(float64(n)/(1<<20)))) }

// AwaitDisk returns when the disk of a state folder has room for a server to start, at once as a rule. A daemon that gave
// up on a full disk would be started again and again. Its error is ctx's.
func AwaitDisk(ctx context.Context, dir string, log *slog.Logger) error {
	d := disk{dir: dir}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for told := false; !d.writable(); told = true {
		if !told {
			log.Error("waiting for room on the disk of the state folder", "INGEST_STATE_DIR", dir, "error", d.room())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}
