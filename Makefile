# Two commands start everything on a fresh machine:
#
#   make demo   the main job, end to end, with a real data set
#   make test   everything that CI runs
#
# Go (the version in go.mod, or newer) is all that is needed; what else a test
# needs is installed or built here, pinned.

GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BIN     := bin
TOOLS   := $(BIN)/tools
FUZZTIME ?= 5s

.PHONY: build demo test lint vet unit proofs fuzz clients stores vuln bench soak tools kcat clean fmt

build: $(BIN)/sluice

.PHONY: $(BIN)/sluice
$(BIN)/sluice:
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags "-X main.version=$(VERSION)" -o $@ ./cmd/sluice

demo: build
	$(GO) run ./demo -sluice $(BIN)/sluice

# What CI runs: formatting and linters, unit tests under the race detector, which
# run every fuzz target over its seeds and over what was ever found, object stores
# behind faults, the real binary with real clients, the demo.
test: lint unit proofs stores clients vuln demo

unit:
	$(GO) test -race -timeout 40m ./...
	cd bench && $(GO) test -timeout 10m ./...

# What the race detector is too slow for, or has other memory for: 100,000 losses of power,
# 20,000 kinds of damage to a WAL, every operation failing in every way, the models
# looked at longer, and the disk below all that.
# `make proofs CRASH_POINTS=5000000 CORRUPTIONS=1000000` takes an hour.
CRASH_POINTS ?= 100000
CORRUPTIONS  ?= 20000
MODEL_CHECKS ?= 10000
proofs:
	SLUICE_CRASH_POINTS=$(CRASH_POINTS) SLUICE_CORRUPTIONS=$(CORRUPTIONS) \
	  $(GO) test -count=1 -timeout 120m -run 'TestCrash|TestCorruptions|Fail|DiskFull|Truncat' ./stages/wal
	$(GO) test -count=1 -timeout 30m -run TestLifeOfASegment ./stages/wal -rapid.checks=$(MODEL_CHECKS)
	$(GO) test -count=1 -timeout 5m ./internal/blockfs/...
	$(GO) test -count=1 -timeout 30m -run 'TailAnswers|Clip|Arrange' ./internal/partition ./internal/flow -rapid.checks=$(MODEL_CHECKS)
	$(GO) test -count=1 -timeout 30m -run 'Model|Manifest' ./stages/cache ./consensus/machine ./consensus/group -rapid.checks=$(MODEL_CHECKS)

# Not in CI, where each kind of file has two kinds of damage: every damage to every file and directory
# of a broker that has stopped, through the binary. Nothing may be lost in silence.
# `make damage DAMAGE_SEED=7 DAMAGE_ONLY='wal/'` harms other places, of some files.
DAMAGE_SEED ?= 1
DAMAGE_ONLY ?=
.PHONY: damage
damage:
	SLUICE_DAMAGE=all SLUICE_DAMAGE_SEED=$(DAMAGE_SEED) SLUICE_DAMAGE_ONLY='$(DAMAGE_ONLY)' \
	  $(GO) test -count=1 -timeout 180m -v -run 'TestDamageAtRest$$' ./cmd/sluice/e2e

# Not in CI: the object store away for ten minutes.
AWAY_FOR ?= 10m
soak:
	SLUICE_AWAY_FOR=$(AWAY_FOR) $(GO) test -count=1 -timeout 60m -v -run TestObjectStoreAway ./cmd/sluice/e2e

# Not in CI: 9 million batches of one record in the WAL, and what that takes of memory.
SMALL_BATCHES    ?= 9000000
SMALL_PARTITIONS ?= 100
.PHONY: soak-small
soak-small:
	SLUICE_SMALL_BATCHES=$(SMALL_BATCHES) SLUICE_SMALL_PARTITIONS=$(SMALL_PARTITIONS) \
	  $(GO) test -count=1 -timeout 20m -v -run TestSmallRecords ./cmd/sluice/e2e

# Every fuzz target for a short while; `make fuzz FUZZTIME=10m` looks harder. What it
# finds goes to testdata/ and is a test from then on.
fuzz:
	GO=$(GO) FUZZTIME=$(FUZZTIME) ./internal/house/fuzz.sh

# Tests through the binary's real doors with clients that people use.
clients: build kcat
	$(GO) test -count=1 -timeout 15m -tags clients ./internal/clients/...

# Not in CI, since it takes Java and minutes: what Sluice answers, field by field, beside
# what Apache Kafka answers to the same requests. `make oracle ORACLE_ONLY=produce` plays
# only some scenarios; `make oracle-update` rewrites what is still to be mended in
# internal/oracle/differences.txt.
ORACLE_JARS := $(BIN)/oracle
ORACLE_ONLY ?=
ORACLE_TEST  = SLUICE_ORACLE_JARS=$(abspath $(ORACLE_JARS)) $(GO) test -count=1 -timeout 30m -tags oracle ./internal/oracle
.PHONY: oracle oracle-update
oracle: $(ORACLE_JARS)/.installed
	$(ORACLE_TEST) -run '/$(ORACLE_ONLY)'

oracle-update: $(ORACLE_JARS)/.installed
	$(ORACLE_TEST) -update

$(ORACLE_JARS)/.installed: internal/oracle/pom.xml
	@rm -rf $(ORACLE_JARS) && mkdir -p $(ORACLE_JARS)
	mvn -q -B -f internal/oracle/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=$(abspath $(ORACLE_JARS))
	@touch $@

# kcat is a Debian package; elsewhere install it by hand.
kcat:
	@command -v kcat >/dev/null || { echo "installing kcat"; \
	  (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq kcat) >/dev/null; }

# Object stores against real servers, through a proxy of faults, and a broker that
# compacts in S3. S3 must run; Azure is left out, loudly, where npm cannot install its
# server.
AZURITE := $(BIN)/azurite
stores: $(TOOLS)/versitygw $(AZURITE)/.installed
	cd internal/objectstore/storetest && $(GO) vet ./... && \
	  SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw SLUICE_AZURITE=$$(cat $(abspath $(AZURITE))/.installed) \
	  $(GO) test -race -count=1 -timeout 10m ./...
	$(GO) vet -tags stores ./cmd/sluice/e2e
	SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw $(GO) test -count=1 -timeout 10m -tags stores -run 'InS3$$' ./cmd/sluice/e2e

# Servers that tests talk to are pinned in modules of their own too.
$(TOOLS)/versitygw: tools/servers/go.mod tools/servers/go.sum
	@mkdir -p $(TOOLS)
	cd tools/servers && $(GO) build -o $(abspath $(TOOLS))/ github.com/versity/versitygw/cmd/versitygw
	@touch $@

# The file holds the server's path, or nothing where it cannot be had.
$(AZURITE)/.installed:
	@mkdir -p $(AZURITE)
	@if npm install --prefix $(AZURITE) --silent --no-audit --no-fund --no-save azurite@3.37.0 >/dev/null 2>&1; \
	then echo $(abspath $(AZURITE))/node_modules/.bin/azurite-blob > $@; \
	else echo "NOT RUN: Azure, npm cannot install Azurite here"; : > $@; fi

lint: $(TOOLS)/.built
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "not gofmt'ed:"; echo "$$out"; exit 1; }
	$(GO) vet ./...
	$(GO) vet -tags oracle ./internal/oracle
	cd bench && $(GO) vet ./...
	$(TOOLS)/staticcheck ./...
	$(TOOLS)/golangci-lint run ./...

vuln: $(TOOLS)/.built
	@if curl -sfo /dev/null --max-time 10 https://vuln.go.dev/index/modules.json; \
	then $(TOOLS)/govulncheck ./cmd/sluice; \
	else echo "NOT RUN: govulncheck, its database cannot be reached from here"; fi

# Linters are pinned in a module of their own, so that they cannot change what
# the product is built with.
$(TOOLS)/.built: tools/go.mod tools/go.sum
	@mkdir -p $(TOOLS)
	cd tools && $(GO) build -o $(abspath $(TOOLS))/ tool
	@touch $@

tools: $(TOOLS)/.built

# Apache Kafka is measured beside it where Java and Maven are.
bench: build bench-jars
	cd bench && $(GO) run ./cmd/slbench suite -sluice $(abspath $(BIN))/sluice -kafka $(abspath $(ORACLE_JARS)) -out out

.PHONY: bench-jars
bench-jars:
	@if command -v java >/dev/null && command -v mvn >/dev/null; \
	then $(MAKE) --no-print-directory $(ORACLE_JARS)/.installed; \
	else echo "NOT RUN: Apache Kafka, which takes Java and Maven"; fi

# Catching up from S3 on loopback, as a ratio of what a loop of range GETs gets.
.PHONY: bench-catchup bench-tail
bench-catchup: $(TOOLS)/versitygw
	SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw $(GO) test -count=1 -timeout 10m -run '^$$' \
	  -bench CatchUpFromS3 -benchtime 1x ./cmd/sluice/e2e

# What the object store is asked for, and what an acknowledgement costs above the disk.
# Each form alone is below a minute and a half: BENCH=AcksUnderHalfLoad/4x64KiB/none.
BENCH  ?= PutsPerIngest|AcksUnderHalfLoad
ROUNDS ?= 5
.PHONY: bench-storage
bench-storage: $(TOOLS)/versitygw
	SLUICE_VERSITYGW=$(abspath $(TOOLS))/versitygw $(GO) test -count=1 -timeout 20m -run '^$$' \
	  -bench '$(BENCH)' -benchtime $(ROUNDS)x ./cmd/sluice/e2e

# The p99 of a tailing consumer beside one that reads a backlog, as a ratio of its p99 alone,
# and of its p99 while the same backlog is read from another broker on the machine.
bench-tail: build
	cd bench && $(GO) run ./cmd/slbench suite -sluice $(abspath $(BIN))/sluice -only tail-alone,tail-with-backlog,tail-beside-backlog,tail-with-slow-backlog,tail-beside-slow-backlog -rounds 5 -out out/tail

fmt:
	gofmt -w $$(git ls-files '*.go')

clean:
	rm -rf $(BIN) bench/out
