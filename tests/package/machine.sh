#!/bin/sh
# Becomes systemd, as process 1 of a machine whose files are those of a Debian
# in BASE; what it changes is in memory, at FOLDER. Called by machine.py in
# namespaces of its own for mounts, processes, host name and IPC.
#
#   machine.sh BASE FOLDER CGROUP
set -eu

base=$1
folder=$2
cgroup=$3
root=$folder/root

# systemd takes the root of the cgroups for its own, so it gets one below it:
# two of them in one would end each other's processes.
if [ $# -eq 3 ]; then
	mount -t tmpfs -o mode=755 tmpfs "$folder"
	mkdir "$folder/upper" "$folder/work" "$root" "$folder/cgroup"
	mount -t cgroup2 cgroup2 "$folder/cgroup"
	mkdir "$folder/cgroup/$cgroup"
	echo 0 >"$folder/cgroup/$cgroup/cgroup.procs"
	umount "$folder/cgroup"
	exec unshare --cgroup "$0" "$@" again
fi

mount -t overlay overlay -o \
	"lowerdir=$base,upperdir=$folder/upper,workdir=$folder/work" "$root"
cd "$root"
mount -t proc proc proc
# The kernel is shared; it is not for a machine to set it up.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
	touch dev/$device
	mount --bind /dev/$device dev/$device
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd

mkdir -p old
pivot_root . old
umount -l /old
rmdir /old
# In a container systemd leaves this to whoever made it. Without it, services do
# not get the credentials that are mounted for them.
mount --make-rshared /
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=test \
	/lib/systemd/systemd --system --unit=multi-user.target
