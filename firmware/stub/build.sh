#!/bin/sh
# Builds the EFI stub as a position-independent ELF without dynamic relocations.
#
#   build.sh x86_64|arm64|riscv64 OUTPUT
#
# CROSS_COMPILE is the prefix of the compiler's tools, where it is a cross compiler.
set -eu
arch=$1
output=$2
cd "$(dirname "$0")"

# UEFI 2.3: no red zone on x86_64, and nowhere floating-point state to keep.
case $arch in
x86_64) machine="-m64 -mno-red-zone -mgeneral-regs-only -fcf-protection=none" ;;
arm64) machine="-mgeneral-regs-only -mstrict-align" ;;
riscv64) machine="-march=rv64imac -mabi=lp64 -mcmodel=medany -mno-relax" ;;
*)
	echo "build.sh: no architecture $arch: x86_64, arm64 or riscv64 is expected" >&2
	exit 2
	;;
esac

"${CROSS_COMPILE:-}gcc" -std=gnu11 -Os -Wall -Wextra -Werror $machine \
	-ffreestanding -fpie -fvisibility=hidden -fshort-wchar -fno-strict-aliasing \
	-fno-stack-protector -fno-asynchronous-unwind-tables -fno-unwind-tables -fno-ident \
	-fno-tree-loop-distribute-patterns \
	-nostdlib -static-pie -Wl,--no-dynamic-linker,--build-id=none,--no-undefined \
	-Wl,-z,noexecstack,-z,norelro,-z,max-page-size=4096,--fatal-warnings,-T,stub.ld \
	-o "$output.part" stub.c

if "${CROSS_COMPILE:-}readelf" -rW "$output.part" | grep R_; then
	echo "build.sh: $output has dynamic relocations, and nothing would apply them" >&2
	exit 1
fi
mv "$output.part" "$output"
