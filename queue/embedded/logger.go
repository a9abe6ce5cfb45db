package embedded

import (
	"fmt"
	"log/slog"
)

// logger passes on what the server has to say. Its notices are of interest only when something is looked for.
type logger struct {
	log   *slog.Logger
	fatal chan<- string // why the server cannot start
}

func (l logger) Noticef(format string, v ...any) { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Debugf(format string, v ...any)  { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Tracef(format string, v ...any)  { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Warnf(format string, v ...any)   { l.log.Warn("NATS: " + fmt.Sprintf(format, v...)) }
func (l logger) Errorf(format string, v ...any)  { l.log.Error("NATS: " + fmt.Sprintf(format, v...)) }

func (l logger) Fatalf(format string, v ...any) {
	select {
	case l.fatal <- fmt.Sprintf(format, v...):
	default:
	}
}
