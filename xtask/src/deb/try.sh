# cargo xtask deb --try: installs PACKAGE in a Debian below ROOT, starts what its unit starts, in a
# network of its own and with the unit's directories, and asks it. systemd is no part of it: it would
# have to be the first process.
set -euo pipefail
package=$1 root=$2
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
say() { echo "--- $*"; }

say "a Debian ($release) in $root"
if [ ! -e "$root/made" ]; then
    rm -rf "$root"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Release: $release" |
        head -n 1)
    debootstrap --variant=minbase "$release" "$root" "$mirror" >"$root.log" 2>&1 || {
        tail -n 20 "$root.log"; exit 1
    }
    touch "$root/made"
fi
inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"; }

say "installed"
cp "$package" "$root/adieu.deb"
inside dpkg --install /adieu.deb
inside dpkg --verify adieu
unit=$root/lib/systemd/system/adieu.service
[ -L "$root/etc/systemd/system/multi-user.target.wants/adieu.service" ]
[ "$(stat -c %a "$root/etc/default/adieu")" = 640 ]

say "started as the unit says"
# The directory that StateDirectory= makes, and the user that DynamicUser= takes.
user=61999
install --directory --owner=$user --group=$user --mode=0700 "$root/var/lib/private/adieu"
line=$(sed -n 's/^ExecStart=//p' "$unit")
export STATE_DIRECTORY=/var/lib/private/adieu ADIEU_OPTIONS=
line=$(eval "echo $line")
echo "$line"
# In a network of its own the port is free. What is asked has to be asked in there, too.
export root line user
unshare --net --pid --fork --kill-child bash -euo pipefail -c '
    ip link set lo up
    chroot "$root" setpriv --reuid=$user --regid=$user --clear-groups --no-new-privs $line &
    gateway=$!
    for _ in $(seq 300); do
        if chroot "$root" adieu health 2>/dev/null; then break; fi
        kill -0 $gateway
        sleep 0.1
    done
    exec 3<>/dev/tcp/127.0.0.1/8080
    printf "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3
    answer=$(cat <&3)
    echo "$answer"
    [[ $answer == "HTTP/1.1 200 OK"*ok ]]
    kill -TERM $gateway
    wait $gateway
'
[ -s "$root/var/lib/private/adieu/adieu.redb" ]

say "taken away"
inside dpkg --remove adieu
[ -e "$root/etc/default/adieu" ] && [ -e "$root/var/lib/private/adieu/adieu.redb" ]
inside dpkg --purge adieu
[ ! -e "$root/etc/default/adieu" ] && [ ! -e "$root/var/lib/private/adieu" ]
say "installed, started, asked, stopped and purged"
