# shellcheck shell=dash
# Leaving.

run_shell() {
    title "Shell"
    say "GNUPGHOME is /run/gnupg, a stick in use is at $STICK. Type exit to come back."
    (cd /root && ENV=/etc/profile sh -i)
}

power_off() {
    local keys
    title "Power off"
    keys=$(show_keys)
    if [ -n "$keys" ]; then
        say "These keys are in memory, and gone with it unless they are on a stick:"
        say "$keys"
    fi
    confirm "Power off now?" || return
    gpgconf --kill all 2>/dev/null
    rm -rf /run/gnupg /run/airgap
    stick_release || complain "The stick could not be closed."
    sync
    say "Powering off. The stick can be taken out."
    poweroff -f
    # The kernel does the rest; until then nobody shall be shown a menu.
    sleep 60
}
