package fault

// Draw is the one source of chance: a number in [0, 1) that hangs on nothing
// but its arguments, so that a run with the same seed makes the same choices.
// The key is the trace id with the attempt's number where the traffic carries
// one, else the ordinal among the matched units.
//
// It is FNV-1a over the texts, finished by the mixer of SplitMix64 (Steele, Lea,
// Flood: Fast Splittable Pseudorandom Number Generators, 2014).
func Draw(seed uint64, fault, edge, key string) float64 {
	return float64(Hash(seed, fault, edge, key)>>11) / (1 << 53)
}

// Hash is the 64 bits behind Draw.
func Hash(seed uint64, texts ...string) uint64 {
	const prime = 1099511628211
	h := uint64(14695981039346656037)
	for i := range 8 {
		h = (h ^ (seed >> (8 * i) & 0xff)) * prime
	}
	for _, t := range texts {
		for i := range len(t) {
			h = (h ^ uint64(t[i])) * prime
		}
		h = (h ^ 0xff) * prime // 0xff is in no UTF-8 text: "a","b" is not "ab",""
	}
	h += 0x9e3779b97f4a7c15
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9
	h = (h ^ (h >> 27)) * 0x94d049bb133111eb
	return h ^ (h >> 31)
}
