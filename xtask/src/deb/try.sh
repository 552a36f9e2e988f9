# cargo xtask deb --try: PACKAGE in a small Debian of its own, below ROOT, with systemd as its first
# process and in a network of its own: installed, started, asked, reloaded, hung, restarted under a
# socket, purged. Needs root, debootstrap, and cgroups of version 2.
set -euo pipefail
package=$1 root=$2
here=$(dirname "${BASH_SOURCE[0]}")
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
say() { echo "--- $*"; }
# Waits until a command succeeds.
until_it() {
    for _ in $(seq 600); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    echo "never: $*"
    inside journalctl --no-pager --unit adieu --lines 30
    return 1
}

say "a Debian ($release) in $root"
if [ ! -e "$root.made" ]; then
    rm -rf "$root"
    mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Release: $release" |
        head -n 1)
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus "$release" "$root" "$mirror" \
        >"$root.log" 2>&1 || { tail -n 20 "$root.log"; exit 1; }
    touch "$root.made"
fi

say "systemd starts in it"
system=$(mktemp -d)
unshare --mount --pid --uts --ipc --net --cgroup --fork --kill-child \
    bash "$here/boot.sh" "$root" "$system" &
made=$!
trap 'kill -KILL $made 2>/dev/null; wait $made 2>/dev/null || true; rmdir "$system"' EXIT
inside() {
    nsenter --target "$(pgrep --parent $made)" --mount --pid --uts --ipc --net --cgroup --root --wd \
        /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
until_it inside systemctl is-active basic.target
inside systemctl --version | head -n 1

say "installed: it runs, as nobody else, and says how it is"
inside sh -c 'cat >/tmp/adieu.deb' <"$package"
inside dpkg --install /tmp/adieu.deb
inside dpkg --verify adieu
until_it inside adieu health
property() { inside systemctl show --property "$1" --value adieu; }
[ "$(property UnitFileState)" = enabled ] && [ "$(property ActiveState)" = active ]
property StatusText
[[ $(property StatusText) == "0 connections; 0 sessions connected, 0 away" ]]
process=$(property MainPID)
inside grep -E '^(Uid|NoNewPrivs|Seccomp|CapEff)' "/proc/$process/status"
[ "$(inside sh -c "awk '/^Uid/ { print \$2 }' /proc/$process/status")" -gt 60000 ]
[ "$(inside stat -c %a /etc/default/adieu)" = 640 ]
inside test -s /var/lib/private/adieu/adieu.redb
inside bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080
    printf "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" >&3
    answer=$(cat <&3); echo "$answer"; [[ $answer == "HTTP/1.1 200 OK"*ok ]]'

say "reloaded: the same process goes on"
inside systemctl reload adieu
[ "$(property MainPID)" = "$process" ] && [ "$(property ActiveState)" = active ]

say "a process that hangs is noticed and replaced"
inside sh -c 'mkdir /run/systemd/system/adieu.service.d
    printf "[Service]\nWatchdogSec=2s\n" >/run/systemd/system/adieu.service.d/watchdog.conf'
inside systemctl daemon-reload
inside systemctl restart adieu
process=$(property MainPID)
inside systemctl kill --signal=STOP adieu
until_it inside sh -c '[ "$(systemctl show --property NRestarts --value adieu)" = 1 ]'
until_it inside adieu health
[ "$(property MainPID)" != "$process" ]
inside journalctl --no-pager --unit adieu --output cat --grep 'Watchdog timeout'
inside rm -r /run/systemd/system/adieu.service.d
inside systemctl daemon-reload

say "under a socket no connection is refused while it is restarted"
inside cp /usr/share/doc/adieu/examples/adieu.socket /etc/systemd/system/
inside systemctl daemon-reload
inside systemctl stop adieu
inside systemctl enable --quiet --now adieu.socket
inside systemctl start adieu
# What was accepted before the stop may be told of it (503); nothing may fail to connect.
inside bash -c 'for _ in 1 2 3 4 5; do systemctl restart adieu; sleep 0.2; done & restarts=$!
    asked=0
    while kill -0 $restarts 2>/dev/null; do
        said=$(adieu health 2>&1 || true); asked=$((asked + 1))
        case $said in ready | *503*) ;; *) echo "$said"; exit 1 ;; esac
    done
    wait $restarts; echo "asked $asked times during five restarts"'

say "stopped well, and purged"
inside systemctl stop adieu.socket adieu
[ "$(property Result)" = success ] && [ "$(property ActiveState)" = inactive ]
inside dpkg --remove adieu
inside test -e /etc/default/adieu
inside test -s /var/lib/private/adieu/adieu.redb
inside dpkg --purge adieu
inside test ! -e /etc/default/adieu
inside test ! -e /var/lib/private/adieu
say "installed, asked, reloaded, hung, restarted, purged"
