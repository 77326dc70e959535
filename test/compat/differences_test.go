//go:build linux

package compat

// Whole answers, by their status.
const (
	answer200 = `(?s)\AHTTP/1\.1 200 .*`
	answer201 = `(?s)\AHTTP/1\.1 201 .*`
	answer400 = `(?s)\AHTTP/1\.1 400 .*`
	answer404 = `(?s)\AHTTP/1\.1 404 .*`
)

// What either says of an attribute of the wrong type or size.
const (
	wrongOriginal = `json: cannot unmarshal \w+( [^ ]+)? into Go struct field \w+\.attributes\.\w+ of type int(64)?`
	wrongOurs     = `attributes\.\w+ must be a whole number of (milliseconds|microseconds|bytes|KB/s) from [01] to \d+, not (\\?"[^"\\]*\\?"|[^\s",]+)`
)

// What either says of a body or a field of the wrong type.
const (
	typeOriginal = `json: cannot unmarshal \w+( [^ ]+)? into Go (value of type (\[\])?(\w+\.\w+|struct \{.*? \})|struct field [\w.]+ of type [\w.]+)`
	typeOurs     = `(\w+ )?must be (a text|true or false|an object such as \{.*?\}|a list such as \[.*?\]), not (a|an) (list|object|text|number|boolean)`
)

// differences are the answers that we give otherwise on purpose; docs/toxiproxy.md
// tells users the same.
var differences = []difference{
	{
		why: "our own version stands in a header, where no client looks",
		ask: `^GET /version`, original: `\A`, ours: `\A|X-Chaosctl-Version: .*\n`,
	},
	{
		why: "an attribute of the wrong type or size is refused in words, not in Go's",
		ask: `toxics.*"attributes":\{`, original: wrongOriginal, ours: wrongOurs,
	},
	{
		why: "attributes that are no object are refused in words",
		ask: `toxics.*"attributes":[^{]`, original: `json: cannot unmarshal \w+ into Go struct field \w*\.attributes of type toxics\.\w+`,
		ours: `attributes must be an object such as \{\\"latency\\": 100\}, not (\\"|[^"])+`,
	},
	{
		why: "the type is looked at first: attributes of a type that does not exist say nothing",
		ask: `"type":"nonsense","attributes":1`, original: `bad request body: json: cannot unmarshal number .*NoopToxic`, ours: `invalid toxic type`,
	},
	{
		why: "toxicity of the wrong type is refused in words",
		ask: `"toxicity":("|t|\{|\[|1e)`, original: `json: cannot unmarshal \w+( [^ ]+)? into Go struct field \w*\.toxicity of type float32`,
		ours: `toxicity must be a number from 0 to 1, not (\\"|[^"])+`,
	},
	{
		why: "what has the wrong type is refused in words, without the names of the original's Go types",
		ask: `^(POST|PATCH) /(proxies|populate)`, original: typeOriginal, ours: typeOurs,
	},
	{
		why: "a whole number may be written as 100.0 or 1e3",
		ask: `toxics.*"attributes":\{.*:(100\.0|1e3|0\.1e4)\}`, original: answer400, ours: answer200 + `"attributes":\{.*\b(100|1000)\b.*\}.*`,
	},
	{
		why: "what kills the server, or cannot be, is refused before it is in force: a slicer without a size or with more variation than size",
		ask: `toxics.*"type":"slicer"`, original: answer200, ours: answer400 + `attributes\.(average_size|size_variation|delay) (must be|is missing).*`,
	},
	{
		why: "the same in an update",
		ask: `toxics/s \{"attributes"`, original: answer200, ours: answer400 + `attributes\.(average_size|size_variation) must be .*`,
	},
	{
		why: "negative attributes and endless ones are refused: times end at an hour, bytes at 2^40",
		ask: `toxics.*"attributes":\{"\w+":(-1|3600001|86400000|9007199254740993|4611686018427387904|9223372036854775807)\}`, original: answer200, ours: answer400 + `attributes\.\w+ must be a whole number .*`,
	},
	{
		why: "toxicity is a share",
		ask: `toxics.*"toxicity":(2|-1|1\.0001|5)\}`, original: answer200, ours: answer400 + `toxicity must be a number from 0 to 1.*`,
	},
	{
		why: "an update that is refused has changed nothing: the original keeps what stood before the mistake",
		ask: `^GET /proxies/x/toxics/t$`, original: `"latency":99`, ours: `"latency":10`,
	},
	{
		why: "a proxy without an upstream cannot be, after an update neither",
		ask: `^POST /proxies/z \{"upstream":""\}`, original: answer200, ours: answer400 + `missing required field: upstream.*`,
	},
	{
		why: "the same in /populate: the original leaves the proxy disabled",
		ask: `^GET /proxies$`, original: `"b":\{"name":"b","listen":"[^"]+","upstream":"[^"]+","enabled":false`, ours: `"b":\{"name":"b","listen":"[^"]+","upstream":"[^"]+","enabled":true`,
	},
	{
		why: "an update whose address cannot be had has changed nothing: the original leaves the proxy disabled, at the new address",
		ask: `^GET /proxies/[xy]$`, original: `"listen":"[^"]+","upstream":"[^"]+","enabled":false`, ours: `"listen":"[^"]+","upstream":"[^"]+","enabled":true`,
	},
	{
		why: "a proxy that is populated again with its own address is left alone, however the address is spelt: the original takes its toxics away",
		ask: `^POST /populate \[\{"name":"[swv]"`, original: `"toxics":\[\]`, ours: `"toxics":\[\{[^]]*\}\]`,
	},
	{
		why: "toxics that are given with a proxy are put on it: the original does not hear of them",
		ask: `"toxics":\[\{`, original: `"toxics":\[\]`, ours: `"toxics":\[\{[^]]*\}\]`,
	},
	{
		why: "a toxic may act on both streams, drawn once",
		ask: `"stream":"both"`, original: answer400 + `stream was invalid.*`, ours: answer200 + `"stream":"both".*`,
	},
	{
		why: "packet_loss, which the original has only after 2.12.0",
		ask: `"type":"packet_loss"`, original: answer400 + `invalid toxic type.*`, ours: answer200 + `"attributes":\{"loss_rate":0\.5,"correlation":0\}.*`,
	},
	{
		why: "web pages may not ask: the API has no other protection",
		ask: `\nOrigin:`, original: `(?s)\AHTTP/1\.1 20[04] .*`, ours: `(?s)\AHTTP/1\.1 403 .*requests from web pages.*`,
	},
	{
		why: "nor may they ask under a name of their own, while the API listens on loopback",
		ask: `\nHost: evil\.example`, original: `(?s)\AHTTP/1\.1 20[04] .*`, ours: `(?s)\AHTTP/1\.1 403 .*requests for this host.*`,
	},
	{
		why: "a name has at most 1024 bytes",
		ask: `"name":"n{1000}n{25}"`, original: answer201, ours: answer400 + `name must be at most 1024 bytes long.*`,
	},
}
