# shellcheck shell=dash
# Keys: listed, made, brought in, taken out. They live in memory only.

# Runs gpg; what it complains about is shown when it fails.
quiet_gpg() {
    local errors result=0
    errors=$(mktemp /run/airgap/errors.XXXXXX) || return 1
    gpg --batch "$@" 2>"$errors" || result=$?
    [ "$result" = 0 ] || clean <"$errors" | sed 's/^/  /' >&2
    rm -f "$errors"
    return "$result"
}

# Prints the fingerprints of the secret keys that can sign.
signing_keys() {
    gpg --batch --with-colons --list-secret-keys 2>/dev/null | awk -F: '
        $1 == "sec" { wanted = $12 ~ /S/ && $2 !~ /[er]/ }
        $1 == "fpr" && wanted { print $10; wanted = 0 }'
}

# Prints the first user id of key $1.
key_owner() {
    gpg --batch --with-colons --list-keys "$1" 2>/dev/null |
        awk -F: '$1 == "uid" { gsub(/\\x3a/, ":", $10); print $10; exit }' | clean
}

# Prints fingerprint $1 in groups of four, as people compare it.
spaced() {
    printf '%s' "$1" | sed 's/..../& /g; s/ $//' | clean
}

describe_key() {
    printf '%s\n       %s' "$(key_owner "$1")" "$(spaced "$1")"
}

show_keys() {
    local key
    for key in $(signing_keys); do
        printf '    %s\n' "$(key_owner "$key")"
        printf '    %s\n' "$(spaced "$key")"
    done
}

# Where the random numbers of this machine come from, for who wants to know.
show_entropy() {
    local sources="the timing of the processor"
    grep -qw rdrand /proc/cpuinfo && sources="the processor's generator (RDRAND), $sources"
    [ -s /sys/class/misc/hw_random/rng_current ] &&
        grep -qv none /sys/class/misc/hw_random/rng_current &&
        sources="$(clean </sys/class/misc/hw_random/rng_current), $sources"
    say "Random numbers come from the kernel, which mixes: $sources."
    say "It has gathered enough before it gives the first one."
}

# Whether $1 can stand in a key's user id.
is_plain_text() {
    [ "$(cleaned "$1")" = "$1" ] || return 1
    case $1 in
        *[\<\>]*) return 1 ;;
    esac
}

# Sets UID_TEXT to the name and address that were typed.
ask_owner() {
    local name
    while :; do
        ask "Name of the key's owner, or q to go back" || return 1
        case $REPLY in
            q | Q) return 1 ;;
        esac
        [ "${#REPLY}" -ge 5 ] && is_plain_text "$REPLY" && break
        say "  At least five letters, digits, blanks; no accents, no < or >."
    done
    name=$REPLY
    while :; do
        ask "E-mail address (Enter for none)" || return 1
        case $REPLY in
            '' | ?*@?*.?*) is_plain_text "${REPLY}" && break ;;
        esac
        say "  An address looks like name@example.org."
    done
    UID_TEXT=$name${REPLY:+ <$REPLY>}
}

# Makes a key for $1 and sets KEY to its fingerprint.
generate_key() {
    KEY=$(quiet_gpg --status-fd 1 --quick-generate-key "$1" default default never |
        sed -n 's/^\[GNUPG:\] KEY_CREATED [BP] \([0-9A-F]*\).*/\1/p')
    [ -n "$KEY" ]
}

# Writes key $1 in its three forms into folder $2.
export_key() {
    local base="$2/key-${1#????????????????????????}"
    quiet_gpg --armor --output "$base-public.asc" --export "$1" &&
        quiet_gpg --armor --output "$base-secret.asc" --export-secret-keys "$1" &&
        cp "$GNUPGHOME/openpgp-revocs.d/$1.rev" "$base-revocation.asc"
}

# Puts all files of folder $1 on the stick; to be run by stick_write.
put_files() {
    local file
    for file in "$1"/*; do
        put_file "$file" "$(basename "$file")" || return 1
    done
}

make_key() {
    local folder result=0
    title "Make a key"
    need_stick || return
    show_entropy
    say
    say "The key is made here and written to the stick, protected by a passphrase:"
    say "this machine forgets it at power off."
    ask_owner || return
    say
    say "Now choose the passphrase, at least 8 characters; several words are best."
    say "Nothing is shown while you type. It may be asked for again to write the key out."
    if ! unseen generate_key "$UID_TEXT"; then
        complain "No key was made."
        return
    fi
    folder=$(mktemp -d /run/airgap/export.XXXXXX) || return
    unseen export_key "$KEY" "$folder" && stick_write put_files "$folder" || result=1
    if [ "$result" = 0 ]; then
        say
        say "Made and written to the stick:"
        say "    $UID_TEXT"
        say "    $(spaced "$KEY")"
        (cd "$folder" && for file in *; do say "    $file"; done)
        say "Give the public one to everybody. Keep the secret one, and the revocation"
        say "(it declares the key void), where no one else gets at them."
    else
        complain "The key is in memory, but not on the stick: it is lost at power off."
    fi
    rm -rf "$folder"
}

import_key() {
    local file status
    title "Import a key"
    need_stick || return
    choose_file "Which file holds the key" .asc .gpg .pgp .key || return
    file=$REPLY
    status=$(quiet_gpg --status-fd 1 --import "$STICK/$file") ||
        complain "Not all of it could be imported."
    printf '%s\n' "$status" | awk '
        $2 == "IMPORT_OK" && !($4 in seen) { seen[$4] = 1; order[++count] = $4 }
        $2 == "IMPORT_OK" && $3 >= 16 { secret[$4] = 1 }
        END { for (i = 1; i <= count; i++) print order[i], (order[i] in secret) ? "secret" : "public" }
    ' | while read -r key kind; do
        say "Imported, $kind key:"
        say "    $(key_owner "$key")"
        say "    $(spaced "$key")"
    done
    case $status in
        *IMPORT_OK*) say "Compare the fingerprint with what its owner told you." ;;
        *) complain "There is no key in $(cleaned "$file")." ;;
    esac
}
