# shellcheck shell=dash
# Verifying a signature on the stick.

# Sets REPLY to the file that signature $1 is about: its name without the last
# suffix, or what is chosen.
choose_signed_file() {
    if is_stick_file "${1%.*}"; then
        REPLY=${1%.*}
        return 0
    fi
    say "Which file is it the signature of?"
    choose_file "Which file"
}

# Prints field $2 of gpg's status line $1 in file $3.
status_field() {
    awk -v tag="$1" -v field="$2" '$2 == tag { print $field; exit }' "$3"
}

# Says what gpg's status file $1 and its exit code $2 amount to.
report_verdict() {
    local signer
    signer=$(status_field VALIDSIG 12 "$1")
    if grep -q '^\[GNUPG:\] BADSIG ' "$1"; then
        complain "BAD SIGNATURE: the file is not what was signed."
    elif grep -q '^\[GNUPG:\] REVKEYSIG ' "$1"; then
        complain "REVOKED KEY: its owner has declared it void. Do not rely on this signature."
    elif grep -q '^\[GNUPG:\] \(EXPKEYSIG\|EXPSIG\) ' "$1"; then
        complain "EXPIRED: the signature matches, but it or its key is past its time."
    elif grep -q '^\[GNUPG:\] NO_PUBKEY ' "$1"; then
        complain "UNKNOWN KEY: import the public key $(status_field NO_PUBKEY 3 "$1" | clean) first (3)."
        return
    elif [ "$2" = 0 ] && grep -q '^\[GNUPG:\] GOODSIG ' "$1" && [ -n "$signer" ]; then
        say "GOOD SIGNATURE"
    else
        complain "NOT VERIFIED: this is no signature of that file."
    fi
    [ -n "$signer" ] || return
    say "Key:     $(key_owner "$signer")"
    say "         $(spaced "$signer")"
    say "Time:    $(date -u -d "@$(status_field VALIDSIG 5 "$1")" '+%Y-%m-%d %H:%M UTC')"
}

verify_file() {
    local signature file folder result=0
    title "Verify a signature"
    need_stick || return
    choose_file "Which signature" .asc .sig || return
    signature=$REPLY
    choose_signed_file "$signature" || return
    file=$REPLY
    folder=$(mktemp -d /run/airgap/verify.XXXXXX) || return
    hashed_into "$file" "$folder/sum" \
        gpg --batch --status-file "$folder/status" --verify "$STICK/$signature" - \
        2>/dev/null || result=$?
    say
    say "File:    $(describe_file "$file")"
    say "sha256:  $(cut -d ' ' -f 1 "$folder/sum")"
    report_verdict "$folder/status" "$result"
    rm -rf "$folder"
}
