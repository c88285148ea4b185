#!/bin/sh
# hardening.sh PROGRAM: is it PIE, full RELRO, without executable stack or
# run path, with stack canaries and fortified calls?
set -eu

fail() {
	echo "$program: $*" >&2
	exit 1
}

program=$1
readelf -hW "$program" | grep -q 'Type: *DYN' || fail "not PIE"
readelf -lW "$program" | grep -q GNU_RELRO || fail "no RELRO"
readelf -lW "$program" | grep 'GNU_STACK' | grep -q 'RW ' ||
	fail "executable stack"
dynamic=$(readelf -dW "$program")
echo "$dynamic" | grep -q 'FLAGS.*BIND_NOW' || fail "no BIND_NOW"
echo "$dynamic" | grep -q 'FLAGS_1.*NOW.*PIE' || fail "no NOW PIE"
echo "$dynamic" | grep -qE 'RPATH|RUNPATH' && fail "has a run path"
symbols=$(readelf -sW "$program")
echo "$symbols" | grep -q __stack_chk_fail || fail "no stack canaries"
echo "$symbols" | grep -q '__[a-z]*_chk@' || fail "no fortified calls"
case $program in
*/get_config.fcgi)
	echo "$dynamic" | grep -q libcurl && fail "links libcurl"
	;;
esac
exit 0
