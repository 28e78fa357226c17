# shellcheck shell=dash
# The network: by /var/lib/network, or by DHCP where there is no such file. Each of
# its lines is an interface, an address with the bits of its network, and a gateway
# or nothing:
#
#     eth0 192.0.2.10/24 192.0.2.1

start_network() {
    ip link set lo up
    asking=
    for link in /sys/class/net/*; do
        # Only what has a device behind it.
        [ -e "$link/device" ] || continue
        ip link set "${link##*/}" up
        [ ! -f /var/lib/network ] || continue
        ask_dhcp "${link##*/}" &
        asking="$asking $!"
    done
    # Until each has an address, or has asked in vain for a while; for no other child, such as
    # the clock of a trial.
    # shellcheck disable=SC2086
    [ -z "$asking" ] || wait $asking
    if [ -f /var/lib/network ]; then
        while read -r interface address gateway; do
            set_address "$interface" "$address" "$gateway"
        done </var/lib/network
    fi
}

# Goes on in the background once it has an address or has asked five times, to ask
# again and to renew what it is given.
ask_dhcp() {
    udhcpc -b -S -t 5 -T 3 -A 10 -i "$1" -s /usr/lib/server/dhcp >/dev/null 2>&1
}

set_address() {
    case $1 in '' | '#'*) return ;; esac
    ip address add "$2" dev "$1" || {
        say "$1 cannot have the address $2"
        return
    }
    [ -z "$3" ] || ip route add default via "$3" dev "$1"
    say "$1 has the address $2"
}
