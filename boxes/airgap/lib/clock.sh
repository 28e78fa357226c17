# shellcheck shell=dash
# The clock: a signature carries the time, and a key from the future is taken for a bad one.

# Prints what the clock says.
clock() {
    date -u '+%Y-%m-%d %H:%M UTC'
}

# Whether $1 is a time as YYYY-MM-DD hh:mm that there is: no 30th of February, which
# `date` would take for the 2nd of March.
is_time() {
    case $1 in
        [0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]\ [0-9][0-9]:[0-9][0-9]) ;;
        *) return 1 ;;
    esac
    [ "$(date -u -d "$1" '+%Y-%m-%d %H:%M' 2>/dev/null)" = "$1" ]
}

# Whether a secret key was made later than it is now, which is said: gpg does not sign with such.
has_key_from_future() {
    local made
    made=$(gpg --batch --with-colons --list-secret-keys 2>/dev/null |
        awk -F: '$1 == "sec" && $6 > newest { newest = $6 } END { printf("%d", newest) }')
    [ "$made" -gt "$(date +%s)" ] || return 1
    complain "A key was made on $(date -u -d "@$made" '+%Y-%m-%d %H:%M UTC'); the clock says $(clock)."
    say "    Set the clock (7) to sign with it."
}

# The machine's own clock keeps its time: what is set here is gone at power off.
set_clock() {
    title "Set the clock"
    say "It says $(clock)."
    while ask "What time is it, in UTC, as YYYY-MM-DD hh:mm? Or q to go back"; do
        case $REPLY in
            q | Q) return ;;
        esac
        if ! is_time "$REPLY"; then
            say "  A time looks like 2026-01-31 18:05; there is no such time as this one."
        elif date -u -s "$REPLY" >/dev/null; then
            say "The clock says $(clock), until power off."
            return
        else
            complain "The clock could not be set."
            return
        fi
    done
}
