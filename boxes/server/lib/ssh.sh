# shellcheck shell=dash
# SSH: the server's own key is made at its first start. Whose keys are let in comes
# from a stick, once: whoever brings the first one owns the server.

SSH=/var/lib/ssh
HOST_KEY=$SSH/host_key
ALLOWED=$SSH/authorized_keys
# The label of the stick's FAT file system.
LABEL=SERVER

start_ssh() {
    mkdir -p "$SSH"
    chmod 700 "$SSH"
    [ -s "$HOST_KEY" ] || make_host_key
    say "its key is $(fingerprint "$HOST_KEY")"
    if [ -s "$ALLOWED" ]; then
        say "keys let in: $(grep -c . "$ALLOWED")"
    else
        say "nobody is let in yet: plug in a stick called $LABEL with authorized_keys"
        await_keys &
    fi
    serve_ssh &
    if is_reachable; then
        say ready
    else
        say "SSH does not answer"
    fi
}

# Waits until something listens on SSH's port, 22, and not long.
is_reachable() {
    left=60
    until grep -Eq '^ *[0-9]+: [0-9A-F]+:0016 [0-9A-F]+:0000 0A ' /proc/net/tcp /proc/net/tcp6; do
        [ $left -gt 0 ] || return 1
        left=$((left - 1))
        sleep 1
    done
}

# Whole or not there, whenever the power goes.
make_host_key() {
    rm -f "$HOST_KEY.new" "$HOST_KEY.new.pub"
    dropbearkey -t ed25519 -f "$HOST_KEY.new" >/dev/null 2>&1
    sync
    mv "$HOST_KEY.new" "$HOST_KEY"
    rm -f "$HOST_KEY.new.pub"
    sync
}

fingerprint() {
    dropbearkey -y -f "$1" | sed -n 's/^Fingerprint: //p'
}

# Its log is the kernel's: `dmesg` has it, and it does not grow.
serve_ssh() {
    while :; do
        dropbear -F -r "$HOST_KEY" -D "$SSH" 2>/dev/kmsg
        sleep 1
    done
}

# Prints the lines of a file that are public keys.
public_keys() {
    grep -E '^(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(256|384|521)|sk-[a-z0-9@.-]+) [A-Za-z0-9+/=]+( .*)?$' \
        "$1"
}

# Looks for the stick until it was there.
await_keys() {
    while ! take_keys; do
        sleep 1
    done
    say "keys let in: $(grep -c . "$ALLOWED")"
}

take_keys() {
    device=$(blkid | sed -n "s/^\\([^:]*\\): LABEL=\"$LABEL\" .*/\\1/p" | head -n 1)
    [ -n "$device" ] || return 1
    mount -t vfat -o ro,nosuid,nodev,noexec "$device" /run/stick 2>/dev/null || return 1
    head -c 65536 /run/stick/authorized_keys >/run/keys 2>/dev/null
    umount /run/stick
    public_keys /run/keys >"$ALLOWED.new" || {
        say "$device has no authorized_keys with a public key"
        sleep 10
        return 1
    }
    chmod 600 "$ALLOWED.new"
    sync
    mv "$ALLOWED.new" "$ALLOWED"
    sync
}
