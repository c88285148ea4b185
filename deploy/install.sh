#!/bin/sh
# "make install" and "make uninstall", which set the variables.
#
#   install.sh install|uninstall
#
# Configuration of the web servers is the admin's as soon as it was edited.
# What was installed last lies in PREFIX/share/agora-agent too: a file that
# differs from that was edited. It is kept, and the new one is put beside it as
# NAME.new, which no server reads. The files of one server go together: when one
# has to be kept, none is replaced, so that old and new are never mixed.
set -eu
umask 022
cd "$(dirname "$0")/.."

action=$1
: "${B:?}" "${PREFIX:?}" "${SYSCONFDIR:?}" "${WEBGROUP:?}" "${UNITDIR:?}"
: "${NGINXDIR?}" "${APACHEDIR?}"
root=${DESTDIR:-}
libexec=$root$PREFIX/libexec/agora-agent
share=$root$PREFIX/share/agora-agent
settings=$SYSCONFDIR/agora-agent
programs="get_config start_agent stop_agent"

say() {
	echo "$action: $*"
}

# Whether systemd runs here and takes its units from where we put them.
systemd_runs() {
	[ -z "$root" ] && [ -d /run/systemd/system ] &&
		[ "$(id -u)" -eq 0 ] && systemctl daemon-reload &&
		[ "$(systemctl show -P FragmentPath agora-agent.target)" = \
			"$UNITDIR/agora-agent.target" ]
}

# put MODE SOURCE TARGET: nobody ever sees half a file, or none.
put() {
	install -D -m "$1" "$2" "$3.$$"
	mv -f "$3.$$" "$3"
}

# The text of a file in deploy/ with this installation's paths.
fill() {
	sed -E -e "s#/usr/local/(bin|libexec|share)/#$PREFIX/\1/#g" \
		-e "s#/etc/agora-agent/#$settings/#g" \
		-e "s#^SocketGroup=.*#SocketGroup=$WEBGROUP#" "deploy/$1"
}

# fill_in FILE TARGET
fill_in() {
	fill "$1" >"$share/fresh"
	put 644 "$share/fresh" "$2"
	rm "$share/fresh"
}

# ---- configuration of the web servers -------------------------------------

# Of nginx or apache: the file in deploy/, and its place.
config_files() {
	case $1 in
	nginx)
		[ -n "$NGINXDIR" ] || return 0
		echo "nginx/agora-agent.conf $NGINXDIR/conf.d/agora-agent.conf"
		for file in deploy/nginx/snippets/*.conf \
			deploy/nginx/snippets/agora-agent/*.conf; do
			file=${file#deploy/nginx/}
			echo "nginx/$file $NGINXDIR/$file"
		done
		;;
	apache)
		[ -n "$APACHEDIR" ] || return 0
		sites=$APACHEDIR/sites-available
		for name in agora-agent-common.conf agora-agent-www.conf; do
			echo "apache/$name $APACHEDIR/$name"
		done
		echo "apache/vhost-proxy-fcgi.conf $sites/agora-agent.conf"
		echo "apache/vhost-fcgid.conf $sites/agora-agent-fcgid.conf"
		;;
	esac
}

# is_edited NAME PLACE: whether it is not what we put there.
is_edited() {
	[ -e "$root$2" ] && ! cmp -s "$root$2" "$share/$1"
}

is_current() {
	fill "$1" | cmp -s - "$root$2"
}

# Whether all of a server's files are there as we left them, or are not there.
is_ours() {
	config_files "$1" | while read -r name place; do
		if is_edited "$name" "$place" && ! is_current "$name" "$place"
		then
			exit 1
		fi
	done
}

# replace NAME PLACE: anew, or beside the one that stays.
replace() {
	if [ -z "$keep" ] || [ ! -e "$root$2" ]; then
		put 644 "$fresh" "$root$2"
		rm -f "$root$2.new"
	elif ! cmp -s "$fresh" "$share/$1"; then
		put 644 "$fresh" "$root$2.new"
		say "kept $root$2; this version's is $root$2.new"
	elif is_edited "$1" "$2"; then
		say "kept $root$2, which was edited"
	fi
}

install_config() {
	keep=
	is_ours "$1" || keep=yes
	fresh=$share/fresh
	config_files "$1" | while read -r name place; do
		fill "$name" >"$fresh"
		is_current "$name" "$place" || replace "$name" "$place"
		put 644 "$fresh" "$share/$name"
	done
	rm -f "$fresh"
}

# A server that still uses the files would not start any more without them. They
# stay until the next uninstall, and so does what they are compared with.
# Prints who does: what Debian calls available is not in use.
config_users() {
	case $1 in
	nginx)
		folder=$root$NGINXDIR
		uses='(include[^#]*snippets/agora-agent|.*[$]agora_agent_)'
		;;
	apache) folder=$root$APACHEDIR uses='Include.*agora-agent-(common|www)' ;;
	esac
	grep -RliE "^[^#]*$uses" "$folder" 2>/dev/null | grep -v \
		-e "^$folder/snippets/agora-agent" -e "^$folder/sites-available/" \
		-e "^$folder/conf.d/agora-agent.conf"
}

remove_config() {
	users=
	if [ -n "$(config_files "$1")" ]; then
		users=$(config_users "$1") || users=
	fi
	if [ -n "$users" ]; then
		say "kept the files of $1, which it still uses:" "$users"
		return
	fi
	config_files "$1" | while read -r name place; do
		rm -f "$root$place.new"
		if is_edited "$name" "$place"; then
			say "kept $root$place, which was edited"
		else
			rm -f "$root$place"
		fi
	done
	rm -rf "${share:?}/$1"
	if [ "$1" = nginx ]; then
		remove_folder "$root$NGINXDIR/snippets/agora-agent"
	fi
}

# ---- everything else ------------------------------------------------------

remove_folder() {
	if [ -d "$1" ]; then
		rmdir --ignore-fail-on-non-empty "$1"
	fi
}

# The units, below deploy/systemd.
units() {
	(cd deploy/systemd && find . -type f | sed 's|^\./||')
}

# The manual: name and section.
pages() {
	for file in deploy/man/*.[578]; do
		[ ! -e "$file" ] || echo "$(basename "$file") ${file##*.}"
	done
}

# Of deploy/agents and deploy/www. What others have put beside them stays, such
# as the SDKs of the try-it page.
data_files() {
	(cd deploy && find agents www -type f)
}

install_data() {
	cp -R deploy/agents deploy/www "$share"
	chmod -R u=rwX,go=rX "$share/agents" "$share/www"
}

remove_data() {
	data_files | while read -r file; do
		rm -f "$share/$file"
	done
	rm -f "$share/env.sample"
	if [ -d "$share" ]; then
		find "$share" -depth -type d -empty -delete
	fi
	left=$(find "$share" -type f 2>/dev/null | grep -v \
		-e "^$share/nginx/" -e "^$share/apache/" | head -1)
	if [ -n "$left" ]; then
		say "kept $left, which was not installed by this"
	fi
}

install_settings() {
	install -d -m 755 "$root$settings" "$root$settings/agents"
	# A package does this itself: the file must not belong to it.
	if [ -z "$root" ] && [ ! -e "$settings/env" ]; then
		(umask 077 && put 600 env.sample "$settings/env")
		say "made $settings/env; APP_ID and APP_CERTIFICATE are to be" \
			"filled in"
	fi
}

install_all() {
	for name in $programs; do
		put 755 "$B/$name.fcgi" "$libexec/$name.fcgi"
	done
	put 755 "$B/agora-agent" "$root$PREFIX/bin/agora-agent"
	put 644 env.sample "$share/env.sample"
	for name in site.example balancer.example; do
		put 644 "deploy/nginx/$name" "$share/nginx/$name"
	done
	put 644 deploy/apache/htaccess "$share/apache/htaccess"
	install_data
	pages | while read -r page section; do
		fill_in "man/$page" "$root$PREFIX/share/man/man$section/$page"
	done
	units | while read -r unit; do
		fill_in "systemd/$unit" "$root$UNITDIR/$unit"
	done
	install_config nginx
	install_config apache
	install_settings
	if systemd_runs && systemctl -q is-active agora-agent.target; then
		say "what runs is still the old version; restart it, without" \
			"losing a request: systemctl restart agora-agent.target"
	fi
}

uninstall_all() {
	if systemd_runs; then
		systemctl -q disable --now agora-agent.target
	fi
	for name in $programs; do
		rm -f "$libexec/$name.fcgi"
	done
	remove_folder "$libexec"
	rm -f "$root$PREFIX/bin/agora-agent"
	pages | while read -r page section; do
		rm -f "$root$PREFIX/share/man/man$section/$page"
	done
	units | while read -r unit; do
		rm -f "$root$UNITDIR/$unit"
		case $unit in */*) remove_folder "$root$UNITDIR/${unit%/*}" ;; esac
	done
	remove_config nginx
	remove_config apache
	remove_data
	remove_folder "$root$settings/agents"
	if [ -e "$root$settings/env" ]; then
		say "kept $root$settings/env, the settings"
	fi
	remove_folder "$root$settings"
}

case $action in
install) install_all ;;
uninstall) uninstall_all ;;
esac
