#!/bin/sh
# The first process of a host (host-root.ts), in namespaces of its own: makes the root directory and becomes its first program.
set -eu
kind=$1 place=$2
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$place"
mkdir "$place/upper" "$place/work" "$place/root"
root=$place/root

# This machine's system, with what a new machine has in place of its settings.
debian() {
	mount -t overlay overlay -o "lowerdir=/,upperdir=$place/upper,workdir=$place/work" "$root"
	for folder in run tmp var/log home root var/lib/muster var/lib/private/muster; do
		mkdir -p "$root/$folder"
		mount -t tmpfs -o mode=755 tmpfs "$root/$folder"
	done
	umount "$root/var/lib/muster" "$root/var/lib/private/muster"
	chmod 1777 "$root/tmp"
	rm -rf "$root/etc/muster" "$root/var/lib/muster" "$root/var/lib/private" "$root/usr/local/bin/muster-worker"
}

# Nothing but busybox and curl; the libraries are those that curl and the worker load.
busybox_only() {
	mount --bind "$root" "$root"
	mkdir -p "$root/bin" "$root/sbin" "$root/usr/bin" "$root/usr/sbin" "$root/usr/local/bin" "$root/etc/init.d" "$root/etc/conf.d" "$root/root" \
		"$root/home" "$root/var/lib" "$root/var/log" "$root/run" "$root/proc" "$root/sys" "$root/dev"
	mkdir -m 1777 "$root/tmp"
	cp "$(command -v busybox)" "$root/bin/busybox"
	chroot "$root" /bin/busybox --install -s
	# Debian's static busybox dies in wget, and its ldd is none.
	rm -f "$root/usr/bin/wget" "$root/usr/bin/ldd"
	cp "$(command -v curl)" "$root/usr/bin/curl"
	{ ldd "$(command -v curl)"; ls /lib/*/libnss_files.so.2 /lib/*/libpthread.so.0 /lib/*/libdl.so.2 /lib/*/libm.so.6; } |
		grep -o '/[^ )]*' | sort -u | while read -r library; do
		mkdir -p "$root${library%/*}"
		cp -L "$library" "$root$library"
	done
	printf 'root:x:0:0::/root:/bin/sh\n' > "$root/etc/passwd"
	printf 'root:x:0:\n' > "$root/etc/group"
	for tool in openrc-run rc-service rc-update checkpath useradd; do
		cp "$(dirname "$0")/fake-openrc.sh" "$root/sbin/$tool"
		chmod 755 "$root/sbin/$tool"
	done
}

case $kind in
	busybox) busybox_only ;;
	*) debian ;;
esac
tr -d - < /proc/sys/kernel/random/uuid > "$root/etc/machine-id"
mount -t proc proc "$root/proc"
# The kernel is this machine's: a host changes none of its settings.
mount -o bind,ro "$root/proc/sys" "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in "null 3" "zero 5" "full 7" "random 8" "urandom 9"; do
	mknod -m 666 "$root/dev/${device% *}" c 1 "${device#* }"
done
mknod -m 666 "$root/dev/tty" c 5 0
mkdir "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
name=host-$(cut -c1-8 "$root/etc/machine-id")
hostname "$name"
echo "$name" > "$root/etc/hostname"
# What `sudo` does to the environment, without asking for a password.
# shellcheck disable=SC2016
printf '#!/bin/sh\nexec env -i PATH="$PATH" HOME=/root "$@"\n' > "$root/usr/local/bin/sudo"
chmod 755 "$root/usr/local/bin/sudo"

if [ "$kind" = systemd ]; then
	if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
		mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
	else
		mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
		mkdir "$root/sys/fs/cgroup/systemd"
		mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
	fi
	# systemd and its journal only.
	rm -rf "$root"/etc/systemd/system/* "$root"/lib/systemd/system/*.target.wants
	mkdir "$root/lib/systemd/system/sockets.target.wants"
	ln -s ../systemd-journald.socket "$root/lib/systemd/system/sockets.target.wants/"
	ln -s /lib/systemd/system/basic.target "$root/etc/systemd/system/default.target"
fi
# Not chroot: what systemd does for a service's own view of the files starts from the root of the namespace.
cd "$root"
mkdir .former-root
pivot_root . .former-root
umount -l /.former-root
rmdir /.former-root
if [ "$kind" = systemd ]; then
	exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --log-target=journal --show-status=no
fi
touch /host-is-ready
# A first process takes leave of whoever ends: supervisors wait for that.
exec sh -c 'while :; do sleep 1000 & wait $!; done'
