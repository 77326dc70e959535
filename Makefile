.PHONY: build demo check test bench gen soak

build: ; go build -trimpath -buildvcs=auto -o bin/chaosctl ./cmd/chaosctl

demo: build ; ./bin/chaosctl demo

check: ; .ci/check

test: check ; .ci/packages && go run ./test/suite

bench: ; cd bench && go run .

gen: ; go test . -run '^TestFaultsDoc$$' -update && go generate ./...

soak: ; go run ./test/suite -soak
