# shellcheck shell=dash
# Wiping a stick.

# What is written between two reports of progress, in blocks of 1 MiB.
STEP=64

describe_disk() {
    printf '%s  %s  %s' "$1" "$(human_size "$(device_bytes "$1")")" "$(disk_model "$1")"
    is_boot_medium "$1" && printf '  (this machine may have been started from it)'
    return 0
}

# Overwrites disk $1 with zeros, whole blocks first, then the rest.
overwrite() {
    local bytes blocks block=0
    bytes=$(device_bytes "$1")
    blocks=$((bytes / 1048576))
    while [ "$block" -lt "$blocks" ]; do
        write_zeros "$1" 1048576 "$block" "$STEP" "$blocks" || return 1
        block=$((block + STEP))
        [ "$block" -gt "$blocks" ] && block=$blocks
        printf '\r  %3d %% of %s overwritten' $((block * 100 / blocks)) "$(human_size "$bytes")"
    done
    write_zeros "$1" 512 $((blocks * 2048)) 2048 $((bytes / 512)) || return 1
    say
}

# Writes to disk $1, in blocks of $2 bytes, $4 blocks from block $3, but none
# from block $5 on.
write_zeros() {
    local count=$4
    [ $(($3 + count)) -gt "$5" ] && count=$(($5 - $3))
    [ "$count" -gt 0 ] || return 0
    dd if=/dev/zero of="/dev/$1" bs="$2" seek="$3" count="$count" conv=notrunc,fsync 2>/dev/null
}

# Makes the kernel forget the partitions that were there.
reread_partitions() {
    blockdev --rereadpt "/dev/$1" 2>/dev/null || true
}

# Makes sure no volume of disk $1 is mounted.
let_go_of() {
    case $(stick_volume) in
        "$1" | "$1"[0-9]*) stick_release ;;
    esac
}

wipe_stick() {
    local disks disk
    title "Wipe a stick"
    disks=$(usb_disks)
    if [ -z "$disks" ]; then
        complain "No stick is to be seen. Plug it in, wait a few seconds, and come back."
        return
    fi
    choose "$disks" describe_disk || return
    disk=$REPLY
    say
    say "Everything on this stick will be overwritten:"
    say "    $(describe_disk "$disk")"
    say "Flash memory may keep old copies in cells that nobody can reach from here:"
    say "a stick that held secrets in the clear is best destroyed."
    ask "Type $disk to wipe it, or anything else to go back" || return
    if [ "$REPLY" != "$disk" ]; then
        say "Nothing was written."
        return
    fi
    let_go_of "$disk"
    if ! overwrite "$disk"; then
        say
        complain "Writing failed: the stick is write-protected, broken or gone."
        return
    fi
    reread_partitions "$disk"
    say "Wiped."
    confirm "Make it an empty FAT stick that can be used here and elsewhere?" || return
    if mkfs.vfat -n AIRGAP_DATA "/dev/$disk" >/dev/null 2>&1; then
        sync
        say "Done."
    else
        complain "That failed."
    fi
}
