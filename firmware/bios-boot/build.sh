#!/bin/sh
# Assembles the boot code to flat binaries: mbr.bin of 440 bytes, boot.bin of 4096.
#
#   build.sh DESTINATION
#
# CROSS_COMPILE is the prefix of the assembler's and linker's names, where they have one.
set -eu
destination=$(cd "$1" && pwd)
cd "$(dirname "$0")"

# Assembles $1 for the address $2 and checks that it has $3 bytes. A note of what processor the code
# is for, which binutils adds by default, would be placed far away.
one() {
	"${CROSS_COMPILE-}as" --32 --fatal-warnings -mx86-used-note=no -o "$destination/$1.o" "$1.S"
	"${CROSS_COMPILE-}ld" -m elf_i386 --build-id=none -Ttext "$2" -e _start --oformat binary \
		-o "$destination/$1.bin" "$destination/$1.o"
	rm "$destination/$1.o"
	[ "$(wc -c <"$destination/$1.bin")" -eq "$3" ]
}
one mbr 0x600 440
one boot 0x7c00 4096
