package pace

// A Way is how to ask about several media.
type Way int

// The ways.
const (
	Singly Way = iota // one call each
	ByList            // by pages of the list, and one call for each that is finished
)

// Choose says how media are asked about with the fewest calls, if the list takes that many pages (0: it does not help), and
// each of the media is finished with a chance of its own. Finished ones cost a call either way, so it is the others that
// count.
func Choose(pages int, chances []float64) Way {
	vain := 0.0
	for _, p := range chances {
		vain += 1 - p
	}
	if pages > 0 && float64(pages) < vain {
		return ByList
	}
	return Singly
}
