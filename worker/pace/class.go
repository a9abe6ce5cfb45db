package pace

import "fmt"

// A Class is a set of media whose results take about as long: of one model, and of sizes within a power of ten.
type Class struct {
	Model string
	Size  SizeClass
}

// A SizeClass is a range of sizes.
type SizeClass int

// The size classes, in decimal megabytes.
const (
	Below1MB SizeClass = iota
	Below10MB
	Below100MB
	Larger
)

const megabyte = 1_000_000

// ClassOf returns the class of a medium of that many bytes.
func ClassOf(model string, size int64) Class {
	switch {
	case size < megabyte:
		return Class{model, Below1MB}
	case size < 10*megabyte:
		return Class{model, Below10MB}
	case size < 100*megabyte:
		return Class{model, Below100MB}
	}
	return Class{model, Larger}
}

// String returns the class's name, which is fit for a part of a record's key if the model is.
func (c Class) String() string { return c.Model + "." + c.Size.String() }

// String returns the size class's name.
func (s SizeClass) String() string {
	switch s {
	case Below1MB:
		return "lt1MB"
	case Below10MB:
		return "lt10MB"
	case Below100MB:
		return "lt100MB"
	case Larger:
		return "larger"
	}
	return fmt.Sprintf("size%d", int(s))
}

// Fallbacks returns the other classes of the model, the nearest first; of two as near the larger, whose results take
// longer: a late ask costs nothing but time.
func (c Class) Fallbacks() []Class {
	var near []Class
	for d := SizeClass(1); d <= Larger; d++ {
		for _, s := range []SizeClass{c.Size + d, c.Size - d} {
			if s >= Below1MB && s <= Larger {
				near = append(near, Class{c.Model, s})
			}
		}
	}
	return near
}
