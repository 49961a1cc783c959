#!/bin/busybox sh
# The guest's first process: prepares the system, runs the script, tells how it ended.
# Before it in the archive come lines that set RESULT (a serial device) and MODULES.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/busybox
export HOME=/tmp
/bin/busybox mkdir -p /busybox /proc /sys /dev /tmp /run /var
/bin/busybox mount -t proc proc /proc
/bin/busybox --install -s /busybox
ln -s /run /var/run
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t bpf bpf /sys/fs/bpf
exec </dev/null
stty -F "$RESULT" raw -echo
exec 3>"$RESULT"
for module in $MODULES; do
    insmod "$module" || echo "init: cannot load $module"
done
ip link set lo up
echo "lb-guest: begin" >&3
sh /script >&3 3>&-
status=$?
printf '\nlb-guest: exit %d\n' "$status" >&3
# Waits until everything is sent.
exec 3>&-
poweroff -f
