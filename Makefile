# agora-agent
#
#   make run    install what is missing, build, serve on PORT (8000)
#   make test   install what is missing, build, run every test
#   make help   all targets
#
# Each build variant has its own folder: build/, build-asan/, …

VERSION = 0.1.0
B ?= build
ifeq ($(origin CC),default)
CC = gcc
endif
PKG_CONFIG ?= pkg-config
PYTHON ?= /usr/bin/python3

PROGRAMS = get_config start_agent stop_agent

# Flags: the OpenSSF hardening guide's, those that gcc 12 and clang 14 know.
STD = -std=c11 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L
WARN = -Wall -Wextra -Wpedantic -Wformat=2 -Wconversion -Wsign-conversion \
	-Wshadow -Wpointer-arith -Wcast-qual -Wwrite-strings -Wundef -Wvla \
	-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition \
	-Wimplicit-fallthrough -Wnull-dereference -Wswitch-enum \
	-Werror=format-security -Werror=implicit \
	-Werror=incompatible-pointer-types -Werror=int-conversion
WARN_GCC = -Wtrampolines -Wbidi-chars=any -Wduplicated-cond \
	-Wduplicated-branches -Wlogical-op -Wformat-overflow=2 \
	-Wformat-truncation=2 -Wformat-signedness -Wstringop-overflow=4 \
	-Warray-bounds=2 -Wcast-align=strict -Walloc-zero
HARDEN = -O2 -g -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 \
	-fstack-protector-strong -fstack-clash-protection -fPIE \
	-fno-delete-null-pointer-checks -fno-strict-overflow -fno-strict-aliasing
HARDEN_GCC = -ftrivial-auto-var-init=zero
HARDEN_x86_64 = -fcf-protection=full
HARDEN_aarch64 = -mbranch-protection=standard
LINK = -pie -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,nodlopen \
	-Wl,--as-needed -Wl,--no-copy-dt-needed-entries
SANITIZE = -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
	-fno-sanitize-recover=all

IS_GCC := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,yes)
ARCH := $(shell uname -m)

# VARIANT: empty (the product), portable (the product, with what few machines
# have linked statically), asan, plain (for valgrind and coverage, whose
# findings hardening would hide), libfuzzer (clang) or afl (afl-clang-fast).
VARIANT ?=
ifeq ($(VARIANT),asan)
OPT = $(SANITIZE)
LDFLAGS_OPT = $(SANITIZE)
else ifeq ($(VARIANT),libfuzzer)
OPT = $(SANITIZE) -fsanitize=fuzzer-no-link
LDFLAGS_OPT = $(SANITIZE)
FUZZ_MAIN = -fsanitize=fuzzer
else ifeq ($(VARIANT),afl)
OPT = -O2 -g
FUZZ_MAIN = -fsanitize=fuzzer
else ifeq ($(VARIANT),plain)
OPT = -O1 -g $(COVERAGE)
LDFLAGS_OPT = $(COVERAGE)
else
OPT = $(HARDEN) $(if $(IS_GCC),$(HARDEN_GCC)) $(HARDEN_$(ARCH))
LDFLAGS_OPT = $(LINK)
endif

LIBS_BASE = fcgi json-c libcrypto zlib
LIBS_CALL = $(LIBS_BASE) libcurl
LINKED = $(shell $(PKG_CONFIG) --libs $(LIBS))
ifeq ($(VARIANT),portable)
LINKED = $(patsubst -lfcgi,-l:libfcgi.a,$(patsubst -ljson-c,-l:libjson-c.a, \
	$(shell $(PKG_CONFIG) --libs $(LIBS))))
endif
ALL_CPPFLAGS = -I. -DVERSION='"$(VERSION)"' $(CPPFLAGS) \
	$(shell $(PKG_CONFIG) --cflags $(LIBS_CALL))
ALL_CFLAGS = $(STD) $(WARN) $(if $(IS_GCC),$(WARN_GCC)) $(WERROR) $(OPT) \
	-ffile-prefix-map=$(CURDIR)=. $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS_OPT) $(LDFLAGS)

COMMON_OBJ = $(patsubst %.c,$(B)/%.o,$(wildcard common/*.c))
# What every program is made of besides its own file: no main(), no endpoint.
FCGI_OBJ = $(patsubst %.c,$(B)/%.o, \
	$(filter-out $(PROGRAMS:%=fcgi/%.c),$(wildcard fcgi/*.c)))
PROGRAM_FILES = $(PROGRAMS:%=$(B)/%.fcgi)
UNIT_TESTS = $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))

TOOL_OBJ = $(patsubst %.c,$(B)/%.o,$(wildcard deploy/tool/*.c))

all: $(PROGRAM_FILES) $(B)/agora-agent

$(B)/get_config.fcgi: LIBS = $(LIBS_BASE)
$(B)/start_agent.fcgi $(B)/stop_agent.fcgi $(B)/agora-agent: \
	LIBS = $(LIBS_CALL)

$(PROGRAM_FILES): $(B)/%.fcgi: $(B)/fcgi/%.o $(B)/libresponder.a $(B)/libcommon.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LINKED)

$(B)/agora-agent: $(TOOL_OBJ) $(B)/libresponder.a $(B)/libcommon.a
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LINKED)

$(B)/libcommon.a: $(COMMON_OBJ)
	rm -f $@
	$(AR) rcD $@ $^

$(B)/libresponder.a: $(FCGI_OBJ)
	rm -f $@
	$(AR) rcD $@ $^

$(B)/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

unit-tests: $(UNIT_TESTS)

$(B)/unit/%: tests/unit/%.c $(B)/libresponder.a $(B)/libcommon.a Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -Wno-missing-prototypes -MMD -MP \
	    $(ALL_LDFLAGS) $(UNIT_WRAP:%=-Wl,--wrap=%) -o $@ $< \
	    $(B)/libresponder.a $(B)/libcommon.a \
	    $(shell $(PKG_CONFIG) --libs $(LIBS_CALL) cmocka)

# Functions that a test lets fail.
$(B)/unit/test_library_failures: UNIT_WRAP = hmac_sha256 deflateInit2_ \
	deflate inflateInit_ calloc
$(B)/unit/test_gate: UNIT_WRAP = service_shared
$(B)/unit/test_http: UNIT_WRAP = secret_free
$(B)/unit/test_agents: UNIT_WRAP = sys_now strdup

unit: $(UNIT_TESTS)
	@for t in $(UNIT_TESTS); do $(UNIT_RUNNER) $$t || exit 1; done

# ---- fuzzing: tests/fuzz/README.md ----------------------------------------

FUZZERS = $(patsubst tests/fuzz/fuzz_%.c,%,$(filter-out %/fuzz_cgi.c, \
	$(wildcard tests/fuzz/fuzz_*.c))) $(PROGRAMS:%=cgi_%)
FUZZ_FILES = $(FUZZERS:%=$(B)/fuzz/%)
FUZZ_MAIN ?= $(B)/tests/fuzz/replay.o
FUZZ_WRAP = epoll_wait write fork sys_now sys_random
FUZZ_COMMON = $(B)/tests/fuzz/world.o $(B)/libresponder.a $(B)/libcommon.a

fuzzers: $(FUZZ_FILES)

$(B)/tests/fuzz/%.o: ALL_CPPFLAGS += -Itests/fuzz
$(B)/tests/fuzz/endpoint_%.o: fcgi/%.c Makefile
	@mkdir -p $(@D)
	$(CC) $(ALL_CPPFLAGS) -Dmain=endpoint_main $(ALL_CFLAGS) \
	    -Wno-missing-prototypes -MMD -MP -c -o $@ $<

$(B)/fuzz/fastcgi: FUZZ_WRAP += exchange_run
$(B)/fuzz/http: FUZZ_WRAP += curl_easy_setopt
$(PROGRAMS:%=$(B)/fuzz/cgi_%): $(B)/fuzz/cgi_%: $(B)/tests/fuzz/fuzz_cgi.o \
	$(B)/tests/fuzz/endpoint_%.o $(B)/tests/fuzz/upstream.o
$(B)/fuzz/outcome: $(B)/tests/fuzz/upstream.o
$(filter-out $(B)/fuzz/cgi_%,$(FUZZ_FILES)): $(B)/fuzz/%: \
	$(B)/tests/fuzz/fuzz_%.o
$(FUZZ_FILES): $(FUZZ_COMMON) $(filter %.o,$(FUZZ_MAIN))
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) $(FUZZ_WRAP:%=-Wl,--wrap=%) \
	    $(filter-out %.o,$(FUZZ_MAIN)) -o $@ $(filter %.o,$^) \
	    $(B)/libresponder.a $(B)/libcommon.a \
	    $(shell $(PKG_CONFIG) --libs $(LIBS_CALL))

# ---- the benchmark: tests/bench/README.md ---------------------------------

BENCH_FILES = $(B)/bench/fcgi_loop $(B)/bench/token_cost

bench-programs: $(BENCH_FILES)

$(BENCH_FILES): $(B)/bench/%: $(B)/tests/bench/%.o $(B)/libcommon.a
	@mkdir -p $(@D)
	$(CC) $(ALL_LDFLAGS) -o $@ $^ $(shell $(PKG_CONFIG) --libs $(LIBS_BASE))

# ---- what people type -----------------------------------------------------

PACKAGES = PYTHON=$(PYTHON) deploy/local/packages.sh
SERVER ?= nginx
export SERVER PORT SANDBOX

run:
	@$(PACKAGES) run $(SERVER)
	@echo 'building in $(B)/'
	@$(MAKE) --no-print-directory -s all
	@exec $(PYTHON) deploy/local/run.py

test:
	@$(PACKAGES) test
	@echo 'building in $(B)/, then running unit and system tests'
	@$(MAKE) --no-print-directory -s check

# Tests of what is built in $(B). Most of them wait most of their time, so
# six at a time keep two cores busy, or four with sanitizers; those of a file
# share its servers.
JOBS = 6
PYTEST = PYTHONDONTWRITEBYTECODE=1 B=$(B) $(PYTHON) -m pytest -q \
	-p no:cacheprovider -n $(JOBS)
check: all unit fuzzers bench-programs
	@$(PYTEST) --dist loadfile tests/sandbox tests/system

# The try-it page in Chromium, which is 300 MB that nothing else needs.
# PICTURES=FOLDER keeps what is seen.
test-browser:
	@$(PACKAGES) browser
	@$(MAKE) --no-print-directory -s all
	@BROWSER_TESTS=1 $(PYTEST) -n 2 tests/system/test_www_browser.py

asan:
	@$(PACKAGES) test
	@ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1 \
	    $(MAKE) --no-print-directory -s check B=build-asan VARIANT=asan JOBS=4

# Every allocation fails once; "make test" tries some of them.
torture:
	@$(PACKAGES) test
	@$(MAKE) --no-print-directory -s all
	@TORTURE=1 $(PYTEST) tests/system/test_allocations.py

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full
valgrind:
	@$(PACKAGES) test
	@WALKS=1000 $(MAKE) --no-print-directory -s unit B=build-plain VARIANT=plain \
	    UNIT_RUNNER="$(VALGRIND)"
	@$(MAKE) --no-print-directory -s all B=build-plain VARIANT=plain
	@# Workers are executed anew, hence --trace-children.
	@PROGRAM_WRAPPER="$(VALGRIND) --trace-children=yes" B=build-plain $(PYTHON) -m pytest -q \
	    -p no:cacheprovider -n 2 -k "cgi and not apache" \
	    tests/system/test_endpoints.py

# What the unit and system tests reach. The programs are run by several users,
# who all add to the same counts. With -std=gnu11 gcc knows what exec and
# _exit do to them. Left out: tests that take memory away, or look into it.
COVERAGE_MAKE = $(MAKE) --no-print-directory -s B=$(B) VARIANT=plain \
	COVERAGE='--coverage -std=gnu11'
COVERAGE_FILES = gcovr -r . -a $(B)/coverage.json
coverage: B = build-coverage
coverage:
	@$(PACKAGES) coverage
	@rm -f $(B)/failed
	@umask 0; $(COVERAGE_MAKE) all unit-tests fuzzers && chmod -R a+rwX $(B)
	@for f in $$(find $(B) -name '*.gcno'); do \
	    install -m 666 /dev/null $${f%.gcno}.gcda; done
	@PYTEST_ADDOPTS="--ignore=tests/system/test_allocations.py \
	    --ignore=tests/system/test_secrets_memory.py" \
	    $(COVERAGE_MAKE) check || touch $(B)/failed
	@mkdir -p $(B)/html
	@gcovr -r . --object-directory $(B) -f common/ -f fcgi/ \
	    --json $(B)/coverage.json --html-details $(B)/html/index.html --txt
	@$(COVERAGE_FILES) -f common/ --fail-under-line 90 >/dev/null
	@$(COVERAGE_FILES) -f 'common/(token|channel)\.c' -f 'fcgi/gate\.c' \
	    --branches --fail-under-branch 100
	@if [ -e $(B)/failed ]; then echo 'coverage: tests failed'; exit 1; fi
	@echo 'coverage: good; line by line in $(B)/html/index.html'

# Every harness for TIME seconds; ONLY="token channel" for some of them.
TIME = 60
ONLY =
AFL_FUZZERS = fastcgi $(PROGRAMS:%=cgi_%)
fuzz:
	@$(PACKAGES) fuzz
	@echo 'building in build-fuzz/, with libFuzzer and AFL++'
	@$(MAKE) --no-print-directory -s fuzzers B=build-fuzz \
	    VARIANT=libfuzzer CC=clang
	@AFL_QUIET=1 $(MAKE) --no-print-directory -s fuzzers B=build-fuzz/afl \
	    VARIANT=afl CC=afl-clang-fast FUZZERS='$(AFL_FUZZERS)'
	@$(PYTHON) tests/fuzz/run.py --seconds $(TIME) \
	    $(if $(ONLY),--only $(ONLY) --) build-fuzz

# How fast it is, next to what it could be. QUICK=1 LONG=1 ONLY=… AGAINST=URL
bench:
	@$(PACKAGES) bench
	@$(MAKE) --no-print-directory -s all bench-programs
	@PYTHONDONTWRITEBYTECODE=1 B=$(B) $(PYTHON) tests/bench/bench.py

# Takes over what "make fuzz" and the test vectors have that is new.
fuzz-corpus:
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) tests/fuzz/corpus.py build-fuzz

.PHONY: bench bench-programs coverage fuzz fuzzers fuzz-corpus

lint:
	@$(PACKAGES) lint
	@tests/lint/lint.sh

format:
	clang-format -i common/*.[ch] fcgi/*.[ch] deploy/tool/*.[ch] tests/unit/*.c tests/fuzz/*.[ch] \
	    tests/bench/*.c

# ---- installing -----------------------------------------------------------

# PREFIX: programs, units, manual. SYSCONFDIR: settings, web servers' files.
# Empty NGINXDIR or APACHEDIR: nothing for that server.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
WEBGROUP ?= www-data
NGINXDIR ?= $(SYSCONFDIR)/nginx
APACHEDIR ?= $(SYSCONFDIR)/apache2
UNITDIR ?= $(PREFIX)/lib/systemd/system
INSTALL = B='$(B)' DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' \
	SYSCONFDIR='$(SYSCONFDIR)' WEBGROUP='$(WEBGROUP)' \
	NGINXDIR='$(NGINXDIR)' APACHEDIR='$(APACHEDIR)' \
	UNITDIR='$(UNITDIR)' deploy/install.sh

install: all
	@$(INSTALL) install

uninstall:
	@$(INSTALL) uninstall

# WEBDIR=~/public_html/voice: for one user of a host, without root.
install-htaccess: all
	@B='$(B)' WEBDIR='$(WEBDIR)' deploy/install-htaccess.sh

# Programs for another machine, which has libcurl, OpenSSL and zlib as nearly
# all have, but not libfcgi and json-c.
portable: B = build-portable
portable:
	@$(MAKE) --no-print-directory -s all B=$(B) VARIANT=portable
	@deploy/needs.sh $(PROGRAM_FILES)

# ---- the Debian package: debian/ ------------------------------------------

# Built from a copy, so that the tree stays clean. DEB_BUILD_OPTIONS=nocheck
# leaves the unit tests out.
DEB_TREE = build-deb/agora-agent
deb:
	@$(PACKAGES) package
	@grep -q '^agora-agent ($(VERSION))' debian/changelog || \
	    { echo 'debian/changelog is not of version $(VERSION)'; exit 1; }
	@echo 'building in build-deb/'
	@rm -rf build-deb
	@mkdir -p $(DEB_TREE)
	@tar c --exclude='./build*' --exclude=./.git --exclude='./.env*' . | \
	    tar x -C $(DEB_TREE)
	@cd $(DEB_TREE) && dpkg-buildpackage -b -us -uc >../log 2>&1 || \
	    { tail -40 ../log; exit 1; }
	@lintian --allow-root --fail-on error,warning build-deb/*.changes
	@ls build-deb/*.deb

# In fresh Debian machines, each with a systemd of its own; root only. The
# Debian that they begin with is made once, in build-chroot/.
test-package: deb
	@PYTHONDONTWRITEBYTECODE=1 $(PYTHON) -m pytest -q -p no:cacheprovider \
	    tests/package

.PHONY: deb test-package

clean:
	rm -rf build build-*

help:
	@echo 'make run       install what is missing, build, serve on PORT (8000)'
	@echo '               SERVER=apache for Apache, SANDBOX=1 for the sandbox'
	@echo 'make test      install what is missing, build, run every test'
	@echo 'make test-browser  the try-it page in Chromium'
	@echo 'make           build the programs into build/'
	@echo 'make install   programs to PREFIX (/usr/local), settings and files of the'
	@echo '               web servers to SYSCONFDIR (/etc); an edited file is kept,'
	@echo '               the new one is NAME.new beside it. DESTDIR for packages;'
	@echo '               WEBGROUP (www-data), NGINXDIR, APACHEDIR, UNITDIR'
	@echo 'make uninstall what "make install" made, but settings and edited files'
	@echo 'make install-htaccess WEBDIR=~/public_html/voice'
	@echo '               for a shared host, without root'
	@echo 'make portable  into build-portable/, with libfcgi and json-c inside'
	@echo 'make lint      warnings, analysers, formatting, architecture'
	@echo 'make asan      the tests under AddressSanitizer and UBSan'
	@echo 'make deb       the Debian package, into build-deb/'
	@echo 'make test-package  installs it on fresh machines, as the README says'
	@echo 'make torture   the tests without memory, for every allocation'
	@echo 'make valgrind  the tests under valgrind'
	@echo 'make coverage  what the tests reach, and whether that is enough'
	@echo 'make fuzz      every fuzzer for TIME (60) seconds'
	@echo 'make bench     how fast it is, next to what it could be; QUICK=1 is short'
	@echo 'make format    clang-format'
	@echo 'make clean     remove build/ and build-*/'

.PHONY: all unit unit-tests run test test-browser check asan torture valgrind lint format \
	install uninstall install-htaccess portable clean help
.SECONDARY:

-include $(wildcard $(B)/*/*.d $(B)/*/*/*.d)
