# `make help` lists the targets. On a fresh machine, start with these two:
#
#   make demo   runs the main job end to end with a real data set
#   make test   runs everything that CI runs
#
# Only Go is required (the version in go.mod, or newer). Everything else that the tests
# need is installed or built here, with pinned versions.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin
TOOLS   := $(BIN)/tools
FUZZTIME ?= 5s

.PHONY: build demo test lint vet unit proofs fuzz clients stores vuln bench soak tools kcat clean fmt

build: $(BIN)/sluice ## build bin/sluice

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):[^#]* ## /\1|/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '  %-16s %s\n' "$$name" "$$text"; done

.PHONY: $(BIN)/sluice
$(BIN)/sluice:
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $@ ./cmd/sluice

demo: build ## run the main job end to end with a real data set, also across kill -9
	$(GO) run ./demo -sluice $(BIN)/sluice

# Everything that CI runs: formatting and linters; unit tests under the race detector, which
# also run every fuzz target on its seeds and on earlier findings; object stores with fault
# injection; the real binary with real clients; the demo.
test: lint unit proofs stores clients vuln demo ## run everything that CI runs

unit: ## run the unit tests under the race detector
	$(GO) test -race -timeout 40m ./...
	cd bench && $(GO) test -timeout 10m ./...

# Tests that the race detector would slow down too much, or that need memory outside the Go
# heap: 100,000 power failures, 20,000 kinds of WAL corruption, every disk operation failing in
# every way, longer runs of the models, and the disk layer itself.
# `make proofs CRASH_POINTS=5000000 CORRUPTIONS=1000000` takes an hour.
CRASH_POINTS ?= 100000
CORRUPTIONS  ?= 20000
MODEL_CHECKS ?= 10000
proofs: ## run the long tests: power failures, WAL corruption, failing disk operations
	SLUICE_CRASH_POINTS=$(CRASH_POINTS) SLUICE_CORRUPTIONS=$(CORRUPTIONS) \
	  $(GO) test -count=1 -timeout 120m -run 'TestCrash|TestCorruptions|Fail|DiskFull|Truncat' ./stages/wal
	$(GO) test -count=1 -timeout 30m -run TestLifeOfASegment ./stages/wal -rapid.checks=$(MODEL_CHECKS)
	$(GO) test -count=1 -timeout 5m ./internal/blockfs/...
	$(GO) test -count=1 -timeout 30m -run 'TailAnswers|Clip|Arrange' ./internal/partition ./internal/flow -rapid.checks=$(MODEL_CHECKS)
	$(GO) test -count=1 -timeout 30m -run 'Model|Manifest' ./stages/cache ./consensus/machine ./consensus/group -rapid.checks=$(MODEL_CHECKS)
	$(GO) test -count=1 -timeout 30m -run TestSimulation ./internal/replication -seeds=$(SEEDS)

# Simulated clusters: each seed is a schedule of crashes, partitions, lost disks, elections and uploads.
# `make simulate SEEDS=200000` is a soak. To see what happens in seed N:
# go test -v -run TestSimulation ./internal/replication -seed=N
SEEDS ?= 2000
.PHONY: simulate
simulate: ## simulate clusters that fail in random ways; SEEDS=200000 takes half an hour
	$(GO) test -count=1 -timeout 300m -v -run TestSimulation ./internal/replication -seeds=$(SEEDS)

# Not in CI, which applies two kinds of damage to each kind of file: applies every kind of damage to
# every file and directory of a stopped broker and restarts the binary. No loss may go unreported.
# `make damage DAMAGE_SEED=7 DAMAGE_ONLY='wal/'` damages other places, in the matching files only.
DAMAGE_SEED ?= 1
DAMAGE_ONLY ?=
.PHONY: damage
damage: ## damage every file of a stopped broker in every way and restart it
	SLUICE_DAMAGE=all SLUICE_DAMAGE_SEED=$(DAMAGE_SEED) SLUICE_DAMAGE_ONLY='$(DAMAGE_ONLY)' \
	  $(GO) test -count=1 -timeout 180m -v -run 'TestDamageAtRest$$' ./cmd/sluice/e2e

# Not in CI: the object store is unavailable for ten minutes.
AWAY_FOR ?= 10m
soak: ## run with an object store that is unavailable for ten minutes
	SLUICE_AWAY_FOR=$(AWAY_FOR) $(GO) test -count=1 -timeout 60m -v -run TestObjectStoreAway ./cmd/sluice/e2e

# Not in CI: memory used by 9 million batches of one record in the WAL.
SMALL_BATCHES    ?= 9000000
SMALL_PARTITIONS ?= 100
.PHONY: soak-small
soak-small: ## measure memory with 9 million single-record batches in the WAL
	SLUICE_SMALL_BATCHES=$(SMALL_BATCHES) SLUICE_SMALL_PARTITIONS=$(SMALL_PARTITIONS) \
	  $(GO) test -count=1 -timeout 20m -v -run TestSmallRecords ./cmd/sluice/e2e

# Runs every fuzz target for a short time, or longer with `make fuzz FUZZTIME=10m`. Findings
# are written to testdata/ and are regression tests from then on.
fuzz: ## run every fuzz target for FUZZTIME (5s)
	GO=$(GO) FUZZTIME=$(FUZZTIME) ./internal/house/fuzz.sh

# Tests the binary over the network with popular Kafka clients.
clients: build kcat ## test the binary with popular Kafka clients
	$(GO) test -count=1 -timeout 15m -tags clients ./internal/clients/...

# Not in CI, because it needs Java and takes minutes: compares the responses of Sluice and Apache
# Kafka to the same requests, field by field. `make oracle ORACLE_ONLY=produce` runs only the
# matching scenarios; `make oracle-update` rewrites the known bugs in
# internal/oracle/differences.txt.
ORACLE_JARS := $(BIN)/oracle
ORACLE_ONLY ?=
ORACLE_TEST  = SLUICE_ORACLE_JARS=$(abspath $(ORACLE_JARS)) $(GO) test -count=1 -timeout 30m -tags oracle ./internal/oracle
.PHONY: oracle oracle-update
oracle: $(ORACLE_JARS)/.installed ## compare responses with Apache Kafka, field by field (needs Java)
	$(ORACLE_TEST) -run '/$(ORACLE_ONLY)'

oracle-update: $(ORACLE_JARS)/.installed ## rewrite the known bugs in internal/oracle/differences.txt
	$(ORACLE_TEST) -update

$(ORACLE_JARS)/.installed: internal/oracle/pom.xml
	@rm -rf $(ORACLE_JARS) && mkdir -p $(ORACLE_JARS)
	mvn -q -B -f internal/oracle/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(abspath $(ORACLE_JARS))
	@touch $@

# Not in CI: real processes in network namespaces that fail in every way of
# internal/chaos/scenario; every record is compared. It needs root, and nothing of it outlives it.
# `make chaos CHAOS_SYSTEM=kafka CHAOS_ONLY='kill-leader|isolate-leader'` runs two scenarios on
# Apache Kafka, to see what the tests themselves are worth.
CHAOS_SYSTEM ?= sluice
CHAOS_ONLY   ?= .*
.PHONY: chaos chaos-kafka chaos-sluice
chaos-kafka: $(ORACLE_JARS)/.installed
chaos-sluice: build
chaos: chaos-$(CHAOS_SYSTEM) ## let clusters of real processes fail, and compare every record
	$(GO) test -count=1 -timeout 5m -tags chaos ./internal/chaos/netlab ./internal/chaos/wallclock
	CHAOS_SYSTEM=$(CHAOS_SYSTEM) CHAOS_SLUICE=$(abspath $(BIN))/sluice CHAOS_KAFKA_JARS=$(abspath $(ORACLE_JARS)) \
	  $(GO) test -count=1 -timeout 120m -v -tags chaos -run 'TestScenarios/^($(CHAOS_ONLY))$$' ./internal/chaos

# kcat is installed as a Debian package; on other systems, install it manually.
kcat:
	@command -v kcat >/dev/null || { echo "installing kcat"; \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq kcat) >/dev/null; }

# Tests the object stores against real servers through a fault-injecting proxy, and a broker that
# compacts in S3. S3 must run; Azure is skipped with a message if npm cannot install its
# server.
AZURITE := $(BIN)/azurite
stores: $(TOOLS)/versitygw $(AZURITE)/.installed ## test the object stores with fault injection
	cd internal/objectstore/storetest && $(GO) vet ./... && \
	  SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw SLUICE_AZURITE=$$(cat $(abspath $(AZURITE))/.installed) \
	  $(GO) test -race -count=1 -timeout 10m ./...
	$(GO) vet -tags stores ./cmd/sluice/e2e
	SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw $(GO) test -count=1 -timeout 10m -tags stores -run 'InS3$$' ./cmd/sluice/e2e

# Test servers are pinned in a module of their own too.
$(TOOLS)/versitygw: tools/servers/go.mod tools/servers/go.sum
	@mkdir -p $(TOOLS)
	cd tools/servers && $(GO) build -o $(abspath $(TOOLS))/ github.com/versity/versitygw/cmd/versitygw
	@touch $@

# The file contains the server's path, or nothing if it cannot be installed.
$(AZURITE)/.installed:
	@mkdir -p $(AZURITE)
	@if npm install --prefix $(AZURITE) --silent --no-audit --no-fund --no-save azurite@3.37.0 >/dev/null 2>&1; \
	then echo $(abspath $(AZURITE))/node_modules/.bin/azurite-blob > $@; \
	else echo "NOT RUN: Azure, npm cannot install Azurite here"; : > $@; fi

lint: $(TOOLS)/.built ## check formatting, vet and linters
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt'ed:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags oracle ./internal/oracle
	$(GO) vet -tags chaos ./internal/chaos/...
	cd bench && $(GO) vet ./...
	$(TOOLS)/staticcheck ./...
	$(TOOLS)/golangci-lint run ./...

vuln: $(TOOLS)/.built ## look for known vulnerabilities
	@if curl -sfo /dev/null --max-time 10 https://vuln.go.dev/index/modules.json; \
	then $(TOOLS)/govulncheck ./cmd/sluice; \
	else echo "NOT RUN: govulncheck, its database cannot be reached from here"; fi

# Linters are pinned in a module of their own, so that they cannot affect the versions of
# the product's dependencies.
$(TOOLS)/.built: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && $(GO) build -o $(abspath $(TOOLS))/ tool
	@touch $@

tools: $(TOOLS)/.built

# Includes Apache Kafka if Java and Maven are installed.
bench: build bench-jars ## run the benchmark suite, report in bench/out/
	cd bench && $(GO) run ./cmd/slbench suite -sluice $(abspath $(BIN))/sluice -kafka $(abspath $(ORACLE_JARS)) -out out

.PHONY: bench-jars
bench-jars:
	@if command -v java >/dev/null && command -v mvn >/dev/null; \
	then $(MAKE) --no-print-directory $(ORACLE_JARS)/.installed; \
	else echo "NOT RUN: Apache Kafka, which takes Java and Maven"; fi

# Throughput of catching up from S3 on loopback, relative to a bare loop of range GETs.
.PHONY: bench-catchup bench-tail
bench-catchup: $(TOOLS)/versitygw ## measure catching up from S3
	SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw $(GO) test -count=1 -timeout 10m -run '^$$' \
	  -bench CatchUpFromS3 -benchtime 1x ./cmd/sluice/e2e

# Requests to the object store, and the latency of acknowledgements beyond the disk's.
# A single variant takes less than a minute and a half: BENCH=AcksUnderHalfLoad/4x64KiB/none.
BENCH  ?= PutsPerIngest|AcksUnderHalfLoad
ROUNDS ?= 5
.PHONY: bench-storage
bench-storage: $(TOOLS)/versitygw ## measure requests to the object store and acknowledgements
	SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw $(GO) test -count=1 -timeout 20m -run '^$$' \
	  -bench '$(BENCH)' -benchtime $(ROUNDS)x ./cmd/sluice/e2e

# The p99 of a consumer at the tail while another reads a backlog, relative to its p99 alone
# and to its p99 while the same backlog is read from another broker on the machine.
bench-tail: build ## measure a consumer at the tail while another reads a backlog
	cd bench && $(GO) run ./cmd/slbench suite -sluice $(abspath $(BIN))/sluice -only tail-alone,tail-with-backlog,tail-beside-backlog,tail-with-slow-backlog,tail-beside-slow-backlog -rounds 5 -out out/tail

fmt: ## format the Go code
	gofmt -w $$(git ls-files '*.go')

clean: ## delete built files
	rm -rf $(BIN) bench/out
