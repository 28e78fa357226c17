# shellcheck shell=dash
# What all screens share: talking, asking, and text from outside made harmless.

say() {
    printf '%s\n' "$*"
}

# A line that says what went wrong, and leaves it standing for a moment.
complain() {
    printf '\n  ! %s\n' "$*"
}

# A heading for what begins.
title() {
    printf '\n== %s ==\n\n' "$*"
}

# Asks $1 and sets REPLY to what was typed, blanks around it taken off.
# Returns 1 when the terminal has gone.
ask() {
    printf '%s> ' "$1"
    REPLY=
    IFS=' 	' read -r REPLY || [ -n "$REPLY" ] || return 1
}

# Asks until it is yes or no. No is also what a vanished terminal says.
confirm() {
    while ask "$1 (yes/no)"; do
        case $REPLY in
            y | Y | yes | Yes | YES) return 0 ;;
            n | N | no | No | NO | q) return 1 ;;
            *) say "  Type yes or no." ;;
        esac
    done
    return 1
}

# Whether $1 is a whole number from 1 to $2.
is_choice() {
    case $1 in
        '' | *[!0-9]* | 0* | ?????*) return 1 ;;
    esac
    [ "$1" -le "$2" ]
}

# Lets text from sticks and keys through without what a terminal would obey.
clean() {
    LC_ALL=C tr -c ' -~\n' '?'
}

# Prints $1 so, on one line.
cleaned() {
    printf '%s' "$1" | tr '\n' '?' | clean
}

# Prints a number of bytes for people.
human_size() {
    awk -v bytes="$1" 'BEGIN {
        split("bytes KB MB GB TB", unit, " ")
        for (step = 1; bytes >= 1000 && step < 5; step++) bytes /= 1000
        printf(step == 1 ? "%d %s" : "%.1f %s", bytes, unit[step])
    }'
}

# Prints the value of $1 in /etc/stagex-release.
release() {
    sed -n "s/^$1=\"\{0,1\}\([^\"]*\)\"\{0,1\}\$/\1/p" /etc/stagex-release 2>/dev/null |
        head -n 1 | clean
}

# Runs a command that Ctrl-C does not reach, and makes gpg's agent forget the
# passphrases that it was told. Killing gpg would leave its agent
# asking for a passphrase on a terminal that is back at the menu.
undisturbed() {
    local result=0
    trap '' INT
    "$@" || result=$?
    gpg-connect-agent --no-autostart reloadagent /bye >/dev/null 2>&1
    trap : INT
    return "$result"
}

# Runs a command that asks for passphrases: one typed before it asks does not
# show up on the screen.
unseen() {
    local result=0
    stty -echo 2>/dev/null
    "$@" || result=$?
    stty echo 2>/dev/null
    return "$result"
}
