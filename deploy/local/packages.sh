#!/bin/sh
# Makes sure that what "make run", "make test" or "make lint" needs is there:
# installs the missing Debian packages, or lists what is missing elsewhere.
#
#   packages.sh run|test|browser|coverage|fuzz|bench|lint|package [nginx|apache]
set -eu

purpose=$1
server=${2:-nginx}
python=${PYTHON:-/usr/bin/python3}
modules=/usr/lib/nginx/modules

# kind, name, Debian package, oldest version that will do. Kinds: pc
# (pkg-config), program, file, python, runtime (of clang). The versions are
# those of what the sources call: CURLOPT_QUICK_EXIT, EVP_MD_fetch, ZLIB_CONST and
# libfcgi's own pkg-config file; the sources check them too.
needs() {
	cat <<-END
		program gcc gcc
		program make make
		program pkg-config pkg-config
		pc fcgi libfcgi-dev 2.4.1
		pc libcurl libcurl4-openssl-dev 7.87
		pc json-c libjson-c-dev 0.14
		pc libcrypto libssl-dev 3.0
		pc zlib zlib1g-dev 1.2.6
		program python3 python3
		program openssl openssl
	END
	if [ "$purpose" = coverage ]; then
		echo program gcovr gcovr
		purpose='test'
	fi
	if [ "$purpose" = browser ] ||
		{ [ "$purpose" = 'test' ] && [ -n "${SLOW_TESTS:-}" ]; }; then
		echo program chromium chromium
		purpose='test'
	fi
	if [ "$purpose" = fuzz ]; then
		echo program clang clang
		echo program afl-clang-fast afl++
		echo runtime fuzzer libclang-rt-dev
		return
	fi
	if [ "$purpose" = package ]; then
		cat <<-END
			pc cmocka libcmocka-dev
			program dh debhelper
			program dpkg-buildpackage dpkg-dev
			program fakeroot fakeroot
			program lintian lintian
			program debootstrap debootstrap
			program ip iproute2
			program curl curl
			python pytest python3-pytest
			python pytest_timeout python3-pytest-timeout
		END
		return
	fi
	if [ "$purpose" = test ] || [ "$server" = nginx ]; then
		echo program nginx nginx-light
	fi
	if [ "$purpose" = test ] || [ "$server" = apache ]; then
		echo program apache2 apache2
		echo file /usr/lib/apache2/modules/mod_fcgid.so libapache2-mod-fcgid
	fi
	case $purpose in
	test)
		cat <<-END
			pc cmocka libcmocka-dev
			python pytest python3-pytest
			python xdist python3-pytest-xdist
			python pytest_timeout python3-pytest-timeout
			python jsonschema python3-jsonschema
			program valgrind valgrind
			program curl curl
			program ip iproute2
			file /usr/lib/apache2/suexec apache2-suexec-custom
			program systemd-analyze systemd
		END
		;;
	bench)
		cat <<-END
			program wrk wrk
			program strace strace
			file $modules/ngx_http_echo_module.so libnginx-mod-http-echo
		END
		;;
	lint)
		cat <<-END
			pc cmocka libcmocka-dev
			program clang clang
			program clang-tidy clang-tidy
			program clang-format clang-format
			program cppcheck cppcheck
			program shellcheck shellcheck
			program readelf binutils
			program mandoc mandoc
		END
		;;
	esac
}

present() {
	case $1 in
	pc) pkg-config --atleast-version="${3:-0}" "$2" 2>/dev/null ;;
	program) PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null ;;
	file) [ -e "$2" ] ;;
	python) "$python" -c "import $2" 2>/dev/null ;;
	runtime) ls "$(clang -print-resource-dir)"/lib/*/libclang_rt."$2"* ;;
	esac >/dev/null 2>&1
}

# A web server that was installed for a try-out must not take port 80.
# policy-rc.d is how Debian is told not to start services; ours goes again.
install_packages() {
	as_root=
	if [ "$(id -u)" -ne 0 ]; then
		as_root=sudo
	fi
	echo "installing with apt${as_root:+ and sudo}:$packages"
	# shellcheck disable=SC2016,SC2086 # the inner shell expands; words
	$as_root sh -eu -c '
		policy=/usr/sbin/policy-rc.d
		if [ ! -e $policy ]; then
			trap "rm -f $policy" EXIT
			trap "exit 130" INT TERM HUP
			printf "#!/bin/sh\nexit 101\n" >$policy
			chmod 755 $policy
		fi
		export DEBIAN_FRONTEND=noninteractive
		apt-get update -qq
		apt-get install -y -qq --no-install-recommends "$@" >/dev/null
	' sh $packages
}

find_missing() {
	needs | while read -r kind name package version; do
		present "$kind" "$name" "$version" ||
			echo "$kind $name $package $version"
	done
}

# In words: "pkg-config module libcurl, 7.87 or newer (7.74.0 is here)".
describe() {
	while read -r kind name package version; do
		case $kind in
		pc) kind="pkg-config module" ;;
		python) kind="Python module" ;;
		runtime) kind="clang runtime" ;;
		esac
		here=
		if [ -n "$version" ]; then
			here=$(pkg-config --modversion "$name" 2>/dev/null) &&
				here=" ($here is here)" || here=
		fi
		echo "  $kind $name${version:+, $version or newer}$here"
	done
}

missing=$(find_missing)
[ -n "$missing" ] || exit 0

packages=$(echo "$missing" | awk '{ printf " %s", $3 }')
if command -v apt-get >/dev/null; then
	install_packages
	missing=$(find_missing)
	[ -n "$missing" ] || exit 0
	echo "these are still missing or too old after the installation:" >&2
else
	echo "these are missing or too old; please install them with your" \
		"system's packages:" >&2
fi
echo "$missing" | describe >&2
exit 1
