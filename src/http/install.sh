#!/bin/sh
# Installs the Muster worker from the server that this script comes from:
#   curl -fsSL URL/install.sh | sudo sh                      with MUSTER_* variables exported in that shell before
#   curl -fsSL URL/install.sh | sudo sh -s -- --uninstall    removes it; --purge removes its state too
# Variables given replace the configuration; without any, what is there stays, and the program is brought up to date.
# As root: /usr/local/bin, /etc/muster/worker.env and a service. As an ordinary user: ~/.local/bin, ~/.config/muster and no service.
set -eu

server='@MUSTER_URL@'
service=muster-worker
unit=/etc/systemd/system/$service.service
init=/etc/init.d/$service
log=/var/log/$service.log
action=install purge='' staged='' config=''

say() { printf '%s\n' "$*"; }
fail() {
	printf 'Cannot %s the Muster worker: %s\n' "$action" "$*" >&2
	exit 1
}
has() { command -v "$1" > /dev/null 2>&1; }

main() {
	for argument in "$@"; do
		case $argument in
			--uninstall) action=uninstall ;;
			--purge) purge=yes ;;
			*) fail "\"$argument\" is not known, give --uninstall, --uninstall --purge, or nothing" ;;
		esac
	done
	[ -z "$purge" ] || [ $action = uninstall ] || fail "--purge goes with --uninstall"
	find_places
	[ $action = install ] || { uninstall; return; }
	find_target
	check_settings
	trap clean_up EXIT
	trap 'exit 1' HUP INT TERM
	download
	# All beside its place first: what cannot be written leaves nothing behind.
	write_config
	case $manager in
		systemd) write_unit > $unit.new ;;
		openrc)
			make_user
			write_init > $init.new
			chmod 755 $init.new ;;
	esac
	[ -z "$names" ] || mv -f "$config.new" "$config"
	case $manager in
		systemd) mv -f $unit.new $unit ;;
		openrc) mv -f $init.new $init ;;
	esac
	mv -f "$staged" "$program"
	say "Installed $program $version ($target), configuration in $config"
	start
}

clean_up() {
	[ -z "$staged" ] || rm -f "$staged" "$staged.sum"
	rm -f "$config.new"
	rmdir "${config%/*}" 2> /dev/null || :
	[ $manager = none ] || rm -f $unit.new $init.new
}

# Where things go, and who starts the worker: systemd, openrc or none.
find_places() {
	if [ "$(id -u)" = 0 ]; then
		bin=/usr/local/bin config=/etc/muster/worker.env state=/var/lib/muster
		if [ -d /run/systemd/system ] && has systemctl; then manager=systemd
		elif has openrc-run && has rc-service && has rc-update; then manager=openrc
		else manager=none
		fi
	else
		[ -n "${HOME:-}" ] || fail "HOME is not set, set it or run this as root"
		bin=$HOME/.local/bin config=$HOME/.config/muster/worker.env state=$HOME/.muster manager=none
	fi
	program=$bin/$service
}

find_target() {
	case $(uname -s) in
		Linux) system=linux ;;
		Darwin) system=darwin ;;
		*) fail "there is no worker for $(uname -s), only for Linux, macOS and Windows" ;;
	esac
	case $(uname -m) in
		x86_64 | amd64) target=$system-x64 ;;
		aarch64 | arm64) target=$system-arm64 ;;
		*) fail "there is no worker for the processor $(uname -m), only for x86_64 and arm64" ;;
	esac
	[ "$target" != darwin-x64 ] || fail "there is no worker for Macs with Intel processors, only for Apple's"
	[ $system = linux ] || return 0
	# A musl system may have a loader by glibc's name (gcompat), and a glibc system one of musl's: ldd is the system's own.
	if has ldd && said=$(ldd --version 2>&1 || :) && [ -n "$said" ]; then
		case $said in *musl*) target=$target-musl ;; esac
	elif ! loader_of ld-linux && loader_of ld-musl; then
		target=$target-musl
	fi
}

loader_of() {
	for loader in /lib/"$1"-* /lib64/"$1"-*; do
		[ ! -e "$loader" ] || return 0
	done
	return 1
}

# What is to be configured: the names of the MUSTER_ variables that hold something, empty to keep what is there.
check_settings() {
	names=
	for name in $(env | sed -n 's/^\(MUSTER_[A-Z0-9_]*\)=.*/\1/p' | sort -u); do
		eval "value=\${$name-}"
		[ -z "$value" ] || names="$names $name"
	done
	if [ -z "$names" ]; then
		[ -f "$config" ] ||
			fail "there is nothing to enroll with, export MUSTER_ENROLL_TOKEN or another way in (createHost's snippet does) and run this again"
	elif [ $manager != none ] && [ "${MUSTER_STATE_DIR:-$state}" != "$state" ]; then
		fail "the service keeps its state in $state, unset MUSTER_STATE_DIR"
	fi
	# The URL this script was asked at works from here; MUSTER_URL, where given, is the same server's word.
	base=${MUSTER_URL:-$server}
	base=${base%/}
	base=${base%/graphql}
	if [ -n "$names" ] && [ -z "${MUSTER_URL:-}" ]; then
		MUSTER_URL=$server
		[ -n "${MUSTER_URL_FILE:-}" ] || names="$names MUSTER_URL"
	fi
	# A name is needed to enroll.
	if [ -n "${MUSTER_ENROLL_TOKEN:-}${MUSTER_ENROLL_TOKEN_FILE:-}${MUSTER_AUTO_ENROLLMENT_KEY:-}${MUSTER_AUTO_ENROLLMENT_KEY_FILE:-}" ] &&
		[ -z "${MUSTER_WORKER_NAME:-}${MUSTER_WORKER_NAME_FILE:-}${MUSTER_NODE_NAME:-}${MUSTER_NODE_NAME_FILE:-}" ]; then
		MUSTER_WORKER_NAME=$(uname -n)
		names="$names MUSTER_WORKER_NAME"
	fi
}

# Brings the program to $staged, beside its final place, proven whole and able to run here.
download() {
	mkdir -p "$bin" || fail "$bin cannot be made, run this as root or make it"
	staged=$(mktemp "$bin/.$service.XXXXXX") || fail "$bin cannot be written, run this as root"
	fetch "$base/download/$target.sha256" "$staged.sum"
	expected=$(sed -n '1s/^\([0-9a-f]\{64\}\) .*/\1/p' "$staged.sum")
	rm -f "$staged.sum"
	[ -n "$expected" ] || fail "$base/download/$target.sha256 is no checksum, is that a Muster server?"
	say "Downloading $base/download/$target"
	fetch "$base/download/$target" "$staged"
	found=$(sha256 "$staged")
	[ "$found" = "$expected" ] ||
		fail "the download's SHA-256 is $found, not $expected as the server says; run this again, and if that does not help, see what is between here and $base"
	chmod 755 "$staged"
	version=$("$staged" version 2> /dev/null) || fail "the worker for $target does not run on this machine ($(uname -srm))"
}

fetch() {
	if has curl; then
		zip=
		case $(curl --version) in *libz*) zip=--compressed ;; esac
		status=0
		# shellcheck disable=SC2086
		said=$(curl -fsSL $zip --connect-timeout 20 --retry 3 -o "$2" "$1" 2>&1) || status=$?
		[ $status != 22 ] || fail "$1 is not there ($said), run this on the server: npm run build:worker -- --all"
		[ $status = 0 ] || fail "$1 could not be downloaded ($said), check the network and that the server runs"
	elif has wget; then
		wget -q -O "$2" "$1" 2> /dev/null ||
			fail "$1 could not be downloaded, check the network, and that this was run on the server: npm run build:worker -- --all"
	else
		fail "neither curl nor wget is installed, install one"
	fi
}

sha256() {
	if has sha256sum; then sha256sum < "$1" | cut -d' ' -f1
	elif has shasum; then shasum -a 256 < "$1" | cut -d' ' -f1
	elif has openssl; then openssl dgst -sha256 -r < "$1" | cut -d' ' -f1
	else fail "none of sha256sum, shasum and openssl is installed, install one"
	fi
}

# Secrets are in it: for its owner alone. What stands between the quotes means the same to systemd and to a shell.
write_config() {
	[ -n "$names" ] || return 0
	mkdir -p "${config%/*}" || fail "${config%/*} cannot be made"
	(
		umask 077
		: > "$config.new" || exit 1
		for name in $names; do
			eval "value=\${$name}"
			value=$(printf '%s.' "$value" | sed 's/[\\"`$]/\\&/g')
			printf '%s="%s"\n' "$name" "${value%.}" >> "$config.new" || exit 1
		done
	) || fail "$config cannot be written"
}

write_unit() {
	cat << 'UNIT'
@UNIT@
UNIT
}

make_user() {
	if id muster > /dev/null 2>&1; then return 0
	elif has useradd; then useradd --system --user-group --no-create-home --home-dir "$state" --shell /sbin/nologin muster
	else addgroup -S muster && adduser -S -D -H -h "$state" -s /sbin/nologin -G muster muster
	fi || fail "the user muster cannot be made, make it and run this again"
}

write_init() {
	cat << 'INIT'
@INIT@
INIT
}

# Starts the service and waits shortly for the enrollment.
start() {
	case $manager in
		systemd)
			logs="journalctl -u $service"
			if ! { systemctl daemon-reload && systemctl enable --quiet $service && systemctl restart $service; }; then
				fail "the service does not start, see: $logs"
			fi ;;
		openrc)
			logs="tail $log"
			if ! { rc-update -q add $service default && rc-service -q $service restart; }; then
				fail "the service does not start, see: $logs"
			fi ;;
		none)
			say "Nothing starts it by itself here. To start it:"
			say "  (set -a; . '$config'; exec '$program' run)"
			return ;;
	esac
	for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
		sleep 1
		if has_failed; then
			fail "the service has ended: $(last_words); mend that and run this again, or see: $logs"
		elif MUSTER_STATE_DIR=$state "$program" status > /dev/null 2>&1; then
			say "The worker has enrolled and runs as the service $service"
			return
		fi
	done
	# OpenRC starts a worker that was refused for good a few times more.
	words=$(last_words)
	[ -z "$words" ] || fail "the service ends again and again: $words; mend that and run this again, or see: $logs"
	say "The service $service runs, but has not enrolled yet; it may be waiting for an operator's approval, see: $logs"
}

has_failed() {
	case $manager in
		systemd) systemctl is-failed --quiet $service ;;
		openrc) ! rc-service -q $service status > /dev/null 2>&1 ;;
	esac
}

# The newest of its last lines that tells why it ended with an error.
last_words() {
	case $manager in
		systemd) journalctl -u $service -o cat --no-pager -n 10 2> /dev/null ;;
		openrc) tail -n 10 $log 2> /dev/null ;;
	esac | sed -n '/worker\.stopped.*exitCode"\{0,1\}[=:][1-9]/p' | tail -n 1
}

uninstall() {
	case $manager in
		systemd)
			[ ! -f $unit ] || systemctl disable --quiet --now $service || fail "the service does not stop, see: systemctl status $service"
			rm -f $unit
			systemctl daemon-reload ;;
		openrc)
			if [ -f $init ]; then
				rc-service -q $service stop || :
				rc-update -q del $service default || :
				rm -f $init
			fi ;;
	esac
	rm -f "$config" "$program"
	rmdir "${config%/*}" 2> /dev/null || :
	if [ -n "$purge" ]; then
		rm -rf "$state"
		# Where systemd keeps the state of a service with a user of its own.
		[ $manager != systemd ] || rm -rf /var/lib/private/muster
		[ $manager != openrc ] || rm -f $log
		say "Removed the Muster worker and its state"
	else
		say "Removed the Muster worker; its state stays in $state, --uninstall --purge removes that too"
	fi
}

# Last, so that a script that arrives cut off does nothing.
main "$@" < /dev/null
