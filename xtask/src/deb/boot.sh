# Becomes systemd in the Debian below ROOT, as the first process of namespaces that `unshare` has made.
# What it writes is gone with it: it lies over ROOT, in memory.
set -euo pipefail
root=$1 system=$2

mount --make-rprivate /
mount -t tmpfs system "$system"
mkdir "$system"/{upper,work,merged}
mount -t overlay -o "lowerdir=$root,upperdir=$system/upper,workdir=$system/work" overlay \
    "$system/merged"
cd "$system/merged"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs run run
mount -t tmpfs tmp tmp
# Devices as in a container: no disk, no terminal of this machine.
mount -t tmpfs dev dev
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs shm dev/shm
ip link set lo up
mkdir old
pivot_root . old
umount -l /old
mount --make-rshared /
exec /usr/bin/env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --unit=basic.target
