#!/bin/sh
# Makes sure that what "make run", "make test" or "make lint" needs is there:
# installs the missing Debian packages, or lists what is missing elsewhere.
#
#   packages.sh run|test|lint [nginx|apache]
set -eu

purpose=$1
server=${2:-nginx}
python=${PYTHON:-/usr/bin/python3}

# kind, name, Debian package. Kinds: pc (pkg-config), program, file, python.
needs() {
	cat <<-END
		program gcc gcc
		program make make
		program pkg-config pkg-config
		pc fcgi libfcgi-dev
		pc libcurl libcurl4-openssl-dev
		pc json-c libjson-c-dev
		pc libcrypto libssl-dev
		pc zlib zlib1g-dev
		program python3 python3
		program openssl openssl
	END
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
			program valgrind valgrind
			program curl curl
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
		END
		;;
	esac
}

present() {
	case $1 in
	pc) pkg-config --exists "$2" 2>/dev/null ;;
	program) PATH=$PATH:/usr/sbin:/sbin command -v "$2" >/dev/null ;;
	file) [ -e "$2" ] ;;
	python) "$python" -c "import $2" 2>/dev/null ;;
	esac
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

missing=$(needs | while read -r kind name package; do
	present "$kind" "$name" || echo "$kind $name $package"
done)
[ -n "$missing" ] || exit 0

packages=$(echo "$missing" | awk '{ printf " %s", $3 }')
if command -v apt-get >/dev/null; then
	install_packages
	exit 0
fi
echo "these are missing; please install them with your system's packages:" >&2
echo "$missing" | sed 's/^pc /pkg-config module /; s/^python /Python module /
	s/ [^ ]*$//; s/^/  /' >&2
exit 1
