# shellcheck shell=dash
# Updates: what was written to the other slot is started once. If it comes up, it is what
# is started from then on; if it does not, the firmware starts what it started before.
# The folder of what `update` has left for the next start.

UPDATE=/var/lib/update
# How long what is started for the first time may take to let somebody in.
TRIAL=600

# Prints the slot that the root is read from, `a` or `b`.
running_slot() {
    sed -n 's/^PARTNAME=root-.*\([ab]\)$/\1/p' "/sys/class/block/$(find_root)/uevent"
}

# Mounts the EFI system partition. `dirsync`: what a name leads to is on the disk before
# the blocks that it led to are free.
mount_esp() {
    mkdir -p /run/esp
    mount -t vfat -o nosuid,nodev,noexec,dirsync "$(partition esp)" /run/esp
}

# At the start, before anything else can go wrong: goes back where it takes too long.
begin_trial() {
    [ -s "$UPDATE/slot" ] && [ "$(cat "$UPDATE/slot")" = "$(running_slot)" ] || return 0
    say "slot $(running_slot) is started for the first time"
    (
        sleep "$TRIAL"
        [ -e "$UPDATE/slot" ] || exit
        say "it takes too long to come up"
        sync
        reboot -f
    ) &
}

# Once there is nothing left to do: keeps what came up, or says what did not.
end_trial() {
    [ -s "$UPDATE/slot" ] || return 0
    slot=$(cat "$UPDATE/slot")
    if ! mount_esp; then
        say "the EFI system partition cannot be mounted, so slot $slot is not kept"
        return
    fi
    next=/run/esp/EFI/stagex/next.efi
    if [ "$slot" != "$(running_slot)" ]; then
        rm -f "$next"
        say "slot $slot did not come up: this is slot $(running_slot), as before"
        ends=yes
    elif is_reachable && [ -s "$next" ]; then
        # The firmware finds the one or the other, whenever the power goes.
        for uki in /run/esp/EFI/BOOT/BOOT*.EFI; do
            mv -f "$next" "$uki"
        done
        say "slot $slot came up and is kept"
        ends=yes
    else
        say "slot $slot is not kept: nobody could log in"
        ends=no
    fi
    sync
    umount /run/esp
    [ $ends = no ] || rm -f "$UPDATE/slot"
    sync
}
