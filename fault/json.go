package fault

import "encoding/json"

// splitAt takes the member "at" out of a JSON object.
func splitAt(b []byte, at **Placed) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(b, &members); err != nil {
		return nil, err
	}
	raw, ok := members["at"]
	if !ok {
		return b, nil
	}
	if err := json.Unmarshal(raw, at); err != nil {
		return nil, err
	}
	delete(members, "at")
	return json.Marshal(members)
}
