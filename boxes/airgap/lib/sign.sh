# shellcheck shell=dash
# Signing a file of the stick.

# Prints the sha256 of file $1 on the stick.
stick_sha256() {
    { sha256sum <"$STICK/$1" | cut -d ' ' -f 1; } 2>/dev/null
}

# Feeds file $1 of the stick to the command that follows, and writes the sha256
# of exactly those bytes to file $2. A stick can answer differently each time it
# is read, so what was shown and what was signed must be one reading's hash.
hashed_into() {
    local file=$1 sum=$2 result
    shift 2
    mkfifo "$sum.pipe" || return 1
    sha256sum <"$sum.pipe" >"$sum" &
    tee "$sum.pipe" <"$STICK/$file" | "$@"
    result=$?
    wait $!
    rm -f "$sum.pipe"
    return "$result"
}

# Sets KEY to the key to sign with.
choose_signing_key() {
    local keys
    keys=$(signing_keys)
    if has_key_from_future && [ -z "$keys" ]; then
        return 1
    elif [ -z "$keys" ]; then
        complain "There is no key to sign with: make one (2) or import one (3) first."
        return 1
    fi
    KEY=$keys
    if [ "$(printf '%s\n' "$keys" | wc -l)" -gt 1 ]; then
        say "Sign with which key?"
        choose "$keys" describe_key || return 1
        KEY=$REPLY
    fi
}

# Shows what is about to be signed and asks. $1 is the file, $2 its hash.
confirm_signing() {
    say
    say "File:    $(describe_file "$1")"
    say "sha256:  $2"
    say "Key:     $(key_owner "$KEY")"
    say "         $(spaced "$KEY")"
    say "Time:    $(clock) (wrong? entry 7)"
    say
    say "Compare the sha256 with the one that you got from where the file was made."
    confirm "Sign this file with this key?"
}

# Makes the signature of file $1 in folder $2. $3 is the hash that was agreed to.
make_signature() {
    say "The passphrase of the key is asked next; nothing is shown while you type."
    if ! unseen hashed_into "$1" "$2/sum" quiet_gpg --armor --local-user "$KEY" \
        --output "$2/signature" --detach-sign; then
        complain "It was not signed."
        return 1
    fi
    if [ "$(cut -d ' ' -f 1 "$2/sum")" != "$3" ]; then
        complain "The stick gave other bytes than before. The signature was thrown away."
        return 1
    fi
}

sign_file() {
    local file hash folder
    title "Sign a file"
    choose_signing_key || return
    need_stick || return
    choose_file "Which file" || return
    file=$REPLY
    hash=$(stick_sha256 "$file")
    if [ -z "$hash" ]; then
        complain "$(cleaned "$file") cannot be read."
        return
    fi
    confirm_signing "$file" "$hash" || return
    may_write "$file.asc" || return
    folder=$(mktemp -d /run/airgap/sign.XXXXXX) || return
    if make_signature "$file" "$folder" "$hash" &&
        stick_write put_file "$folder/signature" "$file.asc"; then
        say
        say "Signed. The signature is on the stick: $(cleaned "$file.asc")"
        say "Whoever has the public key checks it with: gpg --verify FILE.asc FILE"
    fi
    rm -rf "$folder"
}
