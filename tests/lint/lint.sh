#!/bin/sh
# Everything that can be said about the sources without running them.
# Called by "make lint"; prints one line per check, fails on the first finding.
set -eu
cd "$(dirname "$0")/../.."

step() {
	echo "lint: $*"
}

step "formatting (clang-format)"
clang-format --dry-run -Werror common/*.[ch] fcgi/*.[ch] deploy/tool/*.[ch] \
	tests/unit/*.c tests/fuzz/*.[ch] tests/bench/*.c

step "shell scripts (shellcheck)"
find . -path './build*' -prune -o -name '*.sh' -print0 | xargs -0 shellcheck
shellcheck .ci/run debian/p*inst debian/p*rm

step "manual pages (mandoc)"
# Which other pages are installed here, and known to mandoc, is no matter.
if mandoc -Tlint -W style deploy/man/*.[578] 2>&1 |
	grep -v -e 'referenced manual not found' -e 'outdated mandoc.db'; then
	exit 1
fi

step "architecture (headers, arrows, banned names)"
/usr/bin/python3 tests/lint/architecture.py

for compiler in gcc clang; do
	step "headers compile alone, no warnings ($compiler)"
	for header in common/*.h fcgi/*.h deploy/tool/*.h; do
		$compiler -std=c11 -D_DEFAULT_SOURCE -I. -Wall -Wextra \
			-Wpedantic -Wno-unused-function -Werror \
			-fsyntax-only -x c "$header"
	done
	make -s CC=$compiler B=build-lint-$compiler WERROR=-Werror \
		all unit-tests fuzzers bench-programs
done

step "hardening of the programs (readelf)"
for program in build-lint-gcc/*.fcgi build-lint-gcc/agora-agent; do
	tests/lint/hardening.sh "$program"
done

step "gcc -fanalyzer, -O0 and -O1"
# shellcheck disable=SC2046 # the flags are words
for level in -O0 -O1; do
	for source in common/*.c fcgi/*.c deploy/tool/*.c; do
		# gcc 12 loses what is stored at a computed member address.
		except=
		case $source in common/settings.c | common/settings_table.c)
			except=-Wno-analyzer-malloc-leak ;;
		esac
		gcc -std=c11 -D_DEFAULT_SOURCE -D_POSIX_C_SOURCE=200809L -I. \
			-DVERSION='""' $level -fanalyzer $except -Werror \
			$(pkg-config --cflags json-c) -c -o /dev/null "$source"
	done
done

step "cppcheck"
# variableScope: the house style declares at the top of a block.
cppcheck --quiet --std=c11 --enable=warning,performance,portability,style \
	--inline-suppr --suppress=missingIncludeSystem --suppress=variableScope \
	--error-exitcode=1 -I. -DVERSION='""' common fcgi deploy/tool

step "clang-tidy"
# A run per file: with several, clang 14 takes every va_list for uninitialised.
# shellcheck disable=SC2046 # the flags are words
for source in common/*.c fcgi/*.c deploy/tool/*.c; do
	clang-tidy --quiet "$source" -- -std=c11 -D_DEFAULT_SOURCE \
		-D_POSIX_C_SOURCE=200809L -I. -DVERSION='""' \
		$(pkg-config --cflags json-c) 2>/dev/null
done
echo "lint: clean"
