# shellcheck shell=dash
# Files on the stick: shown, chosen.

# The most that a list shows; more can still be chosen by typing the path.
LIST_MAX=40

# Prints the files on the stick, two folders deep, that end in one of the given
# suffixes, or all; their paths relative to the stick. Names with a line break
# are left out, and so are hidden ones.
stick_files() {
    (
        cd "$STICK" || exit
        find . -maxdepth 3 -type f ! -name '.*' ! -path '*/.*' 2>/dev/null |
            sed -n 's#^\./##p' | sort
    ) | while IFS= read -r path; do
        [ -f "$STICK/$path" ] && has_suffix "$path" "$@" && printf '%s\n' "$path"
    done
}

# Whether path $1 ends in one of the other arguments; in any where there is none.
has_suffix() {
    local path=$1 suffix
    shift
    [ $# -gt 0 ] || return 0
    for suffix in "$@"; do
        case $path in
            *"$suffix") return 0 ;;
        esac
    done
    return 1
}

# Whether $1 is a file on the stick, inside it.
is_stick_file() {
    case "/$1/" in
        */../* | *//*) return 1 ;;
    esac
    [ -f "$STICK/$1" ] && [ ! -L "$STICK/$1" ]
}

describe_file() {
    printf '%s  (%s)' "$(cleaned "$1")" "$(human_size "$(file_bytes "$1")")"
}

# Prints the size of a file on the stick in bytes.
file_bytes() {
    stat -c %s "$STICK/$1" 2>/dev/null || echo 0
}

# Prints the list with numbers, as far as it goes.
number_files() {
    local count=0 line
    while IFS= read -r line; do
        count=$((count + 1))
        if [ "$count" -gt "$LIST_MAX" ]; then
            say "       … and more: type the path of one that is not shown"
            break
        fi
        printf '  %3d  %s\n' "$count" "$(describe_file "$line")"
    done
}

show_files() {
    local files
    files=$(stick_files)
    if [ -z "$files" ]; then
        say "It holds no files."
        return 0
    fi
    say "Its files:"
    printf '%s\n' "$files" | number_files
}

# Sets REPLY to a file on the stick. $1 is the question, the rest are suffixes.
choose_file() {
    local question=$1 files count
    shift
    files=$(stick_files "$@")
    if [ -z "$files" ]; then
        complain "The stick holds no such file${*:+ (*$*)}."
        return 1
    fi
    count=$(printf '%s\n' "$files" | wc -l)
    printf '%s\n' "$files" | number_files
    while ask "$question? 1 to $count, a path, or q to go back"; do
        case $REPLY in
            q | Q) return 1 ;;
        esac
        if is_choice "$REPLY" "$count"; then
            REPLY=$(printf '%s\n' "$files" | sed -n "${REPLY}p")
            return 0
        fi
        is_stick_file "$REPLY" && return 0
        say "  There is no such number or file."
    done
    return 1
}

# Copies file $1 to $2 on the stick; to be run by stick_write.
put_file() {
    if ! cp "$1" "$STICK/$2.part" 2>/dev/null || ! mv "$STICK/$2.part" "$STICK/$2" 2>/dev/null; then
        rm -f "$STICK/$2.part" 2>/dev/null
        complain "Writing $(cleaned "$2") failed: is the stick full?"
        return 1
    fi
}

# Whether $1 may be written on the stick: asks where it exists.
may_write() {
    [ -e "$STICK/$1" ] || [ -L "$STICK/$1" ] || return 0
    confirm "$(cleaned "$1") is on the stick already. Replace it?"
}
