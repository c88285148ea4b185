#!/bin/sh
# "make install-htaccess WEBDIR=~/public_html/voice": the programs and their
# .htaccess for one user of a shared host, without root. B is the folder with
# the programs.
set -eu
cd "$(dirname "$0")/.."

: "${B:?}"
programs="get_config start_agent stop_agent"
# suexec takes HOME away, so the programs ask the user database, and so do we.
home=$(getent passwd "$(id -u)" | cut -d: -f6) || home=
home=${home:-$HOME}
config=$home/.config/agora-agent

say() {
	echo "install-htaccess: $*"
}

refuse() {
	say "$*" >&2
	exit 1
}

# ---- what would not work --------------------------------------------------

# Sets web, the folder; some shells leave "~" as it is in WEBDIR=~/….
find_web() {
	web=${WEBDIR:-}
	case $web in
	"") refuse "say where: make install-htaccess WEBDIR=~/public_html/voice" ;;
	"~"/*) web=$home/${web#"~"/} ;;
	esac
	[ "$(id -u)" -ne 0 ] ||
		refuse "not as root: as the user whose site it is"
	umask 022
	mkdir -p "$web"
	web=$(cd "$web" && pwd -P)
}

# Everybody could fetch it if the .htaccess were missing for a moment. The
# programs look into the folder above theirs too.
refuse_settings() {
	found=$(find "$web" -type f \( -name env -o -name .env \
		-o -name .env.local \) | head -1)
	case ${web%/*}/ in
	*/public_html/* | */htdocs/* | */www/* | */html/*)
		for name in .env .env.local; do
			[ ! -e "${web%/*}/$name" ] || found=${web%/*}/$name
		done
		;;
	esac
	[ -z "$found" ] || refuse "$found is a settings file in a folder of the" \
		"web site: move it to $config/env, outside of it"
}

# Under somebody else's .htaccess Apache would hand the programs out.
refuse_htaccess() {
	if [ -e "$web/.htaccess" ] && ! grep -q agora-agent "$web/.htaccess"
	then
		refuse "$web has an .htaccess of its own; take a folder that has" \
			"none, such as $web/voice"
	fi
}

# suexec refuses to run what somebody else could have changed.
warn_of_groups() {
	for mode in g o; do
		if [ -n "$(find "$web" -prune -perm "-$mode=w")" ]; then
			say "warning: others can write to $web, so that suexec" \
				"would refuse the programs: chmod go-w $web"
			return
		fi
	done
}

# ---- putting it there -----------------------------------------------------

# put MODE SOURCE TARGET: a program that runs cannot be written to, and nobody
# may fetch half of one. The .htaccess denies the other name.
put() {
	cp "$2" "$3.$$"
	chmod "$1" "$3.$$"
	mv -f "$3.$$" "$3"
}

# An edited .htaccess stays; what we put there last is kept to compare with.
install_htaccess() {
	last=$config/htaccess
	if [ ! -e "$web/.htaccess" ] || cmp -s "$web/.htaccess" "$last"; then
		put 644 deploy/apache/htaccess "$web/.htaccess"
		rm -f "$web/.htaccess.new"
	elif ! cmp -s deploy/apache/htaccess "$web/.htaccess" &&
		! cmp -s deploy/apache/htaccess "$last"; then
		put 644 deploy/apache/htaccess "$web/.htaccess.new"
		say "kept $web/.htaccess; this version's is .htaccess.new"
	fi
	put 644 deploy/apache/htaccess "$last"
}

# Sets made if there was none.
install_settings() {
	made=
	if [ ! -e "$config/env" ]; then
		(umask 077 && put 600 env.sample "$config/env")
		made=yes
	fi
}

# As the web server starts it: in its folder, without an environment.
check() {
	(cd "$web" && env -i ./start_agent.fcgi --check)
}

find_web
refuse_settings
refuse_htaccess
warn_of_groups
(umask 077 && mkdir -p "$config")
install_htaccess
for name in $programs; do
	put 755 "$B/$name.fcgi" "$web/$name.fcgi"
done
install_settings
status=0
check || status=$?
if [ -n "$made" ]; then
	say "now fill in APP_ID and APP_CERTIFICATE in $config/env, then see" \
		"what \"$web/start_agent.fcgi --check\" says"
	exit 0
fi
[ "$status" -eq 0 ] || refuse "the programs are there; the check failed"
say "done; the routes are below the address of $web: try .../get_config"
