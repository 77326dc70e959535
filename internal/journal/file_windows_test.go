package journal

import "errors"

func fill(*Journal) error { return errors.New("not on this system") }
