#!/bin/sh
# Builds the ROM, of 64 KiB: usage: build.sh SOURCE DESTINATION
set -eu
source=$1
destination=$2
mkdir -p "$destination"
cc=${TARGET:+$TARGET-}gcc
objcopy=${TARGET:+$TARGET-}objcopy
ld=${TARGET:+$TARGET-}ld
flags="-m32 -march=i686 -Os -std=c11 -ffreestanding -fno-pic -fno-stack-protector -mno-sse -mno-mmx
	-fcf-protection=none -fno-asynchronous-unwind-tables -Wall -Wextra -Wconversion -Werror"
# shellcheck disable=SC2086
for file in reset.S rom.c; do
	"$cc" $flags -c -o "$destination/${file%.*}.o" "$source/$file"
done
"$ld" -m elf_i386 -nostdlib --build-id=none -T "$source/rom.ld" -o "$destination/rom.elf" \
	"$destination/reset.o" "$destination/rom.o"
"$objcopy" -O binary "$destination/rom.elf" "$destination/rom.bin"
[ "$(wc -c <"$destination/rom.bin")" -eq 65536 ]
