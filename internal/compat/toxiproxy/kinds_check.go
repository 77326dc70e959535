package toxiproxy

import "fmt"

func required(name, example string) func([]value) error {
	return func(v []value) error {
		if v[0].number == 0 {
			return fmt.Errorf("attributes.%s is missing, %s", name, example)
		}
		return nil
	}
}

func checkLatency(v []value) error {
	switch distribution := v[2].word; {
	case distribution == "" || distribution == "uniform":
	case v[1].number == 0:
		return fmt.Errorf("attributes.distribution needs jitter, its standard deviation in milliseconds, for example a tenth of latency")
	case distribution == "lognormal" && v[0].number == 0:
		return fmt.Errorf("attributes.distribution must not be lognormal without a latency, which it varies by a factor")
	}
	return nil
}

// checkSlicer refuses what cuts pieces of no length.
func checkSlicer(v []value) error {
	if err := required("average_size", "a whole number of bytes from 1, for example 64")(v); err != nil {
		return err
	}
	if v[1].number > v[0].number {
		return fmt.Errorf("attributes.size_variation must be at most average_size, which is %.0f, not %.0f", v[0].number, v[1].number)
	}
	return nil
}

func checkSlowAccept(v []value) error {
	if err := required("delay", "a whole number of milliseconds from 1, for example 3000")(v); err != nil {
		return err
	}
	if v[1].number > v[0].number {
		return fmt.Errorf("attributes.jitter must be at most delay, which is %.0f, not %.0f", v[0].number, v[1].number)
	}
	return nil
}
