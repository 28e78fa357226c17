# shellcheck shell=dash
# What the server says, on the serial line and on the screen.

say() {
    for place in /dev/console /dev/tty0; do
        [ ! -c "$place" ] || echo "server: $*" >"$place" 2>/dev/null
    done
}
