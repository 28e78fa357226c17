# From the processor's first instruction to 32-bit code, and from there to the kernel.
# Segments are those that Linux's 32-bit boot protocol asks for: 0x10 code, 0x18 data,
# both of 4 GiB (Linux, Documentation/arch/x86/boot.rst).

	.set CODE, 0x10
	.set DATA, 0x18
	# Grows down from here; what rom.c uses begins here.
	.set STACK, 0x8000

	.section .reset, "ax"
	.code16
	.globl reset
reset:
	jmp start16

	# Near enough for a jump of 16 bits.
	.section .start, "ax"
	.code16
start16:
	cli
	cld
	# The segment begins at the ROM's first byte; rom.ld knows how far it is from there.
	lgdtl %cs:gdt_offset
	movl %cr0, %eax
	orl $1, %eax
	movl %eax, %cr0
	ljmpl $CODE, $start32

	.code32
start32:
	movl $DATA, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %fs
	movl %eax, %gs
	movl %eax, %ss
	movl $STACK, %esp
	call load
	# What it returns is the kernel's first instruction; the parameters lie at STACK.
	movl $STACK, %esi
	xorl %ebp, %ebp
	xorl %edi, %edi
	xorl %ebx, %ebx
	jmp *%eax

	.balign 8
gdt:
	.quad 0
	.quad 0
	.quad 0x00cf9b000000ffff
	.quad 0x00cf93000000ffff
	.globl gdt_pointer
gdt_pointer:
	.word . - gdt - 1
	.long gdt

	.section .note.GNU-stack, "", @progbits
