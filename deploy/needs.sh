#!/bin/sh
# What programs need of the machine that they are to run on.
#
#   needs.sh PROGRAM...
set -eu

versions=$(objdump -T "$@" | grep -o 'GLIBC_[0-9.]*' | sort -uV | tail -1)
libraries=$(objdump -p "$@" | awk '$1 == "NEEDED" { print $2 }' | sort -u |
	grep -v -e '^libc\.so' -e '^ld-' | tr '\n' ' ')
echo "in ${1%/*}/, for machines with glibc ${versions#GLIBC_} or newer" \
	"(\"ldd --version\" says which) and $libraries"
