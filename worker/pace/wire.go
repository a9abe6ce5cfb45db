package pace

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// wireTimes is the record of Times: only the bins in which something changes, each as bin, found, asked; the number asked
// holds for the bins that follow.
type wireTimes struct {
	Version int          `json:"v"`
	Bins    [][3]float64 `json:"bins"`
}

// wireVersion changes with the meaning of a bin.
const wireVersion = 1

// MarshalJSON writes four digits of each number: they come from 200 asks.
func (t *Times) MarshalJSON() ([]byte, error) {
	w := wireTimes{Version: wireVersion, Bins: [][3]float64{}}
	before := 0.0
	for b := range bins {
		found, asked := fourDigits(t.found[b]), fourDigits(t.asked[b])
		if found != 0 || asked != before {
			w.Bins = append(w.Bins, [3]float64{float64(b), found, asked})
		}
		before = asked
	}
	return json.Marshal(w)
}

func fourDigits(x float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 4, 64), 64)
	if err != nil || short < 1e-6 {
		return 0
	}
	return short
}

// UnmarshalJSON refuses what MarshalJSON cannot have written, and leaves t as it was then.
func (t *Times) UnmarshalJSON(data []byte) error {
	var w wireTimes
	if err := json.Unmarshal(data, &w); err != nil {
		return err
	}
	if w.Version != wireVersion {
		return fmt.Errorf("processing times of version %d, not %d", w.Version, wireVersion)
	}
	var read Times
	next, before := 0, 0.0
	for _, e := range w.Bins {
		b, found, asked := int(e[0]), e[1], e[2]
		const most = 1.01 * memory // rounded
		if float64(b) != e[0] || b < next || b >= bins || !(found >= 0 && found <= most && asked >= 0 && asked <= most) {
			return fmt.Errorf("processing times with an impossible bin %v", e)
		}
		for ; next < b; next++ {
			read.asked[next] = before
		}
		read.found[b], read.asked[b] = min(found, asked), asked
		next, before = b+1, asked
	}
	for ; next < bins; next++ {
		read.asked[next] = before
	}
	read.forget()
	*t = read
	return nil
}
