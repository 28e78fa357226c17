# shellcheck shell=dash
# What the server keeps: the partition called `var` of the disk that it started from.

# Prints the device of the partition called $1 beside the root's.
partition() {
    root=$(find_root) || return
    for uevent in "/sys/class/block/$root/.."/*/uevent; do
        if grep -qx "PARTNAME=$1" "$uevent"; then
            device=${uevent%/uevent}
            echo "/dev/${device##*/}"
            return
        fi
    done
    return 1
}

# Prints the partition that the root is read from, by way of the device mapper or not.
find_root() {
    number=$(mountpoint -d /)
    name=$(readlink "/sys/dev/block/$number")
    name=${name##*/}
    # Of the two below verity, data and hash tree, both are on the same disk.
    for below in "/sys/class/block/$name/slaves"/*; do
        [ -e "$below" ] && name=${below##*/}
    done
    [ -n "$name" ] && echo "$name"
}

# Mounts the partition over /var; it has a journal, which the kernel plays back.
keep_disk() {
    var=$(partition var) || {
        say "the disk has no partition called var"
        return 1
    }
    mount -t ext4 -o nosuid,nodev,noexec,noatime "$var" /var || {
        say "$var cannot be mounted"
        return 1
    }
    mkdir -p /var/lib
}

release_disk() {
    umount /var 2>/dev/null || mount -o remount,ro /var
}
