#!/bin/sh
# A FAKE of OpenRC, for hosts that have no more than busybox: as much of openrc-run, rc-service, rc-update and checkpath as one supervised service needs;
# and of useradd, since Debian's busybox has neither that nor adduser.
set -u
case ${0##*/} in
	useradd)
		for name; do :; done
		echo "$name:x:999:999::/var/lib/muster:/sbin/nologin" >> /etc/passwd
		echo "$name:x:999:" >> /etc/group ;;
	rc-update)
		shift # -q
		case $1 in
			add) : > "/run/fake-openrc.$2" ;;
			del) rm "/run/fake-openrc.$2" ;;
		esac ;;
	checkpath)
		# checkpath --directory|--file --owner USER:GROUP --mode MODE PATH
		if [ "$1" = --directory ]; then mkdir -p "$6"; else touch "$6"; fi
		chown "$3" "$6" && chmod "$5" "$6" ;;
	rc-service)
		shift # -q
		pid=/run/$1.pid
		case $2 in
			status) kill -0 "$(cat "$pid" 2> /dev/null)" 2> /dev/null ;;
			stop) kill "$(cat "$pid")" ;;
			restart)
				[ ! -e "$pid" ] || kill "$(cat "$pid")" 2> /dev/null
				"/etc/init.d/$1" start ;;
		esac ;;
	openrc-run)
		. "$1"
		start_pre || exit 1
		# shellcheck disable=SC2154
		su -s /bin/sh -c "exec $command $command_args" "${command_user%:*}" >> "$output_log" 2>> "$error_log" < /dev/null &
		echo $! > "/run/${1##*/}.pid" ;;
esac
