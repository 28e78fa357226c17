# shellcheck shell=dash
# Sticks: found, mounted, kept read-only but for the moment of writing.

STICK=/mnt/stick
# The file systems tried, and with what.
FILE_SYSTEMS='vfat exfat ext4 iso9660'
SAFE=nosuid,nodev,noexec,noatime

# Prints the names of disks plugged in by USB.
usb_disks() {
    for disk in /sys/block/*; do
        case $(readlink -f "$disk/device" 2>/dev/null) in
            */usb[0-9]*) ;;
            *) continue ;;
        esac
        # A card reader without a card has a size of 0.
        [ "$(cat "$disk/size" 2>/dev/null || echo 0)" -gt 0 ] && basename "$disk"
    done
}

# Prints the size of disk or partition $1 in bytes.
device_bytes() {
    echo $(($(cat "/sys/class/block/$1/size") * 512))
}

# Prints the partitions of disk $1, or the disk itself where it has none.
volumes_of() {
    local found='' part
    for part in "/sys/block/$1/$1"*; do
        [ -e "$part/partition" ] || continue
        found=yes
        basename "$part"
    done
    [ -n "$found" ] || echo "$1"
}

# Prints blkid's value of $2 for device $1.
volume_tag() {
    blkid "/dev/$1" 2>/dev/null | sed -n "s/.* $2=\"\([^\"]*\)\".*/\1/p" | clean
}

# Prints maker and model of disk $1.
disk_model() {
    cat "/sys/block/$1/device/vendor" "/sys/block/$1/device/model" 2>/dev/null |
        tr -s ' \n' ' ' | clean
}

# Prints $3 bytes of disk $1 from byte $2 on.
disk_text() {
    dd if="/dev/$1" bs=1 skip="$2" count="$3" 2>/dev/null | clean
}

# Whether disk $1 is what this machine may have been started from: our images
# are ISO 9660 volumes named after the box.
is_boot_medium() {
    local label name
    [ "$(disk_text "$1" 32769 5)" = CD001 ] || return 1
    label=$(disk_text "$1" 32808 32 | tr 'A-Z_' 'a-z-')
    name=$(release NAME | tr 'A-Z_' 'a-z-')
    [ -n "$name" ] || return 1
    case $label in
        "$name"*) return 0 ;;
    esac
    return 1
}

# Prints the volumes that can be used, one a line.
usable_volumes() {
    local disk volume
    for disk in $(usb_disks); do
        is_boot_medium "$disk" && continue
        for volume in $(volumes_of "$disk"); do
            echo "$volume"
        done
    done
}

# Prints a line about volume $1.
describe_volume() {
    local type label
    type=$(volume_tag "$1" TYPE)
    label=$(volume_tag "$1" LABEL)
    printf '%s  %s  %s%s' "$1" "$(human_size "$(device_bytes "$1")")" \
        "${type:-no file system known here}" "${label:+  \"$label\"}"
}

# The volume in use, empty where none is.
stick_volume() {
    sed -n "s#^/dev/\([^ ]*\) $STICK .*#\1#p" /proc/mounts | tail -n 1
}

# Whether a stick is mounted and still plugged in; tidies up where it is not.
stick_ready() {
    local volume
    volume=$(stick_volume)
    [ -n "$volume" ] || return 1
    [ -e "/sys/class/block/$volume" ] && return 0
    stick_release
    return 1
}

stick_release() {
    while [ -n "$(stick_volume)" ]; do
        sync
        umount "$STICK" 2>/dev/null || umount -l "$STICK" || return 1
    done
}

# Mounts volume $1 for reading.
stick_mount() {
    local type
    for type in $FILE_SYSTEMS; do
        grep -qw "$type" /proc/filesystems || continue
        mount -t "$type" -o "ro,$SAFE" "/dev/$1" "$STICK" 2>/dev/null && return 0
    done
    return 1
}

# Opens the stick for writing, runs the given command, closes it again.
stick_write() {
    local result=0
    if ! mount -o "remount,rw,$SAFE" "$STICK" 2>/dev/null; then
        complain "The stick cannot be written: is it write-protected, or a disc image?"
        return 1
    fi
    "$@" || result=1
    sync
    mount -o "remount,ro,$SAFE" "$STICK" 2>/dev/null || complain "The stick stays open for writing."
    return "$result"
}

# Sets REPLY to one of the lines of $1, chosen by number; $2 prints a line about
# one. Returns 1 for none.
choose() {
    local lines=$1 describe=$2 count=0 line
    while IFS= read -r line; do
        count=$((count + 1))
        printf '  %3d  %s\n' "$count" "$("$describe" "$line")"
    done <<EOF
$lines
EOF
    while ask "Which one? 1 to $count, or q to go back"; do
        case $REPLY in
            q | Q) return 1 ;;
        esac
        if is_choice "$REPLY" "$count"; then
            REPLY=$(printf '%s\n' "$lines" | sed -n "${REPLY}p")
            return 0
        fi
        say "  There is no such number."
    done
    return 1
}

# Waits for a stick and mounts it.
use_stick() {
    local volumes volume
    title "Use a stick"
    stick_release
    say "Plug in the stick now, if it is not in yet. It is opened for reading only,"
    say "but for the moments in which something is written to it."
    while :; do
        ask "Press Enter when it is in, or type q to go back" || return 1
        case $REPLY in
            q | Q) return 1 ;;
        esac
        volumes=$(usable_volumes)
        [ -n "$volumes" ] && break
        complain "No stick is to be seen (the one this machine started from does not count)."
        say "  Wait a few seconds after plugging it in, or try another port."
    done
    say
    volume=$volumes
    if [ "$(printf '%s\n' "$volumes" | wc -l)" -gt 1 ]; then
        choose "$volumes" describe_volume || return 1
        volume=$REPLY
    fi
    if ! stick_mount "$volume"; then
        complain "This cannot be read: $(describe_volume "$volume")"
        say "  FAT, exFAT and ISO 9660 can. Entry 6 of the menu empties a stick and makes it FAT."
        return 1
    fi
    say "In use: $(describe_volume "$volume")"
    show_files
}

# Makes sure that there is a stick, asking for one where there is none.
need_stick() {
    stick_ready || use_stick
}
