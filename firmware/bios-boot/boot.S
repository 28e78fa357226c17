# Starts Linux from a BIOS: from a CD-ROM, a stick or a disk, all of which hold the same bytes.
#
# A BIOS loads this to 0000:7c00, from a CD-ROM by itself (El Torito, no emulation), from a stick
# or a disk by way of mbr.S, and starts it with the drive's number in DL. It knows of no file
# system: the table below says where on the medium kernel, initramfs and command line lie, each in
# one piece. They are the sections of the unified kernel image that UEFI would start, so a box
# holds them once. What it does, in order:
#
#   1. makes all memory reachable (A20), and asks how large the medium's sectors are,
#   2. reads the kernel's real-mode part to 64 KiB and looks whether it can be started so,
#   3. looks for room for the initramfs in what the BIOS says of memory,
#   4. reads the rest of the kernel to 1 MiB, the initramfs to that room, and the command line,
#   5. looks for a graphics mode that the kernel can write on,
#   6. enters the kernel's real-mode part (Linux: Documentation/arch/x86/boot.rst).
#
# All segments are 0 throughout. Memory it uses, all below what BIOSes keep for themselves:
#
#   00500  an entry of the memory map       07c00  this
#   01000  what VESA says                   10000  the kernel's real-mode part, its heap, and
#   07c00  the stack, downwards             1e000  the command line
#                                           20000  what was read last, on its way up

	.code16
	.set MAP, 0x500
	.set VBE, 0x1000
	.set VBE_MODE, 0x1200
	.set REAL, 0x10000			# a segment by itself
	.set CMDLINE, 0xe000			# within it
	.set CMDLINE_MAX, 2047
	.set BUFFER, 0x20000
	.set CHUNK, 0x8000
	.set KERNEL, 0x100000
	.set SETUP_MAX, 0xc000
	.set COM1, 0x3f8

	.globl _start
_start:
	jmp	start
	.org	4
	.ascii	"SXB1"
# Written by stagex: where each part begins on the medium, and its size, in bytes.
kernel_at:	.quad 0
kernel_size:	.quad 0
initrd_at:	.quad 0
initrd_size:	.quad 0
cmdline_at:	.quad 0
cmdline_size:	.quad 0

# For INT 13h.
packet:		.byte 16, 0
packet_count:	.word 0
		.word BUFFER & 15, BUFFER >> 4
packet_sector:	.quad 0

# The Global Descriptor Table for a moment in protected mode: data, all of 4 GiB from 0.
	.balign	8
gdt:		.quad 0, 0x00cf92000000ffff
gdt_end:
gdt_place:	.word gdt_end - gdt - 1
		.long gdt

drive:		.byte 0
tries:		.byte 0
shift:		.byte 0				# sectors are 1 << this
floor:		.long 0				# where the kernel's memory ends
initrd_to:	.long 0
initrd_max:	.long 0
at:		.quad 0				# what is read now: from, how much, to
left:		.long 0
to:		.long 0

start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$0x7c00, %sp
	sti
	cld
	ljmp	$0, $1f				# some BIOSes start at 07c0:0000
1:	movb	%dl, drive
	call	serial
	call	a20
	call	sectors
	call	read_setup
	call	find_room

	# The rest of the kernel: what lies behind its real-mode part.
	movl	kernel_at, %eax
	movl	kernel_at + 4, %edx
	addl	setup_size, %eax
	adcl	$0, %edx
	movl	kernel_size, %ecx
	subl	setup_size, %ecx
	movl	$KERNEL, %edi
	call	read

	movl	initrd_at, %eax
	movl	initrd_at + 4, %edx
	movl	initrd_size, %ecx
	movl	initrd_to, %edi
	call	read

	movl	cmdline_at, %eax
	movl	cmdline_at + 4, %edx
	movl	cmdline_size, %ecx
	movw	$text_damaged, %si
	cmpl	$CMDLINE_MAX, %ecx
	ja	die
	movl	$REAL + CMDLINE, %edi
	call	read

	call	video				# gives DX

	# The kernel's header, and a NUL behind the command line.
	movw	$REAL >> 4, %ax
	movw	%ax, %es
	movw	cmdline_size, %bx
	movb	$0, %es:CMDLINE(%bx)
	movw	%dx, %es:0x1fa			# vid_mode
	movb	$0xff, %es:0x210		# type_of_loader: one without a number
	orb	$0x80, %es:0x211		# loadflags: heap_end_ptr holds
	movl	initrd_to, %eax
	movl	%eax, %es:0x218			# ramdisk_image
	movl	initrd_size, %eax
	movl	%eax, %es:0x21c			# ramdisk_size
	movw	$CMDLINE - 0x200, %es:0x224	# heap_end_ptr
	movl	$REAL + CMDLINE, %es:0x228	# cmd_line_ptr

	cli
	movw	%es, %ax
	movw	%ax, %ds
	movw	%ax, %fs
	movw	%ax, %gs
	movw	%ax, %ss
	movw	$CMDLINE, %sp
	ljmp	$(REAL >> 4) + 0x20, $0

# ---- The kernel's real-mode part ------------------------------------------------

setup_size:	.long 0

read_setup:
	movw	$text_damaged, %si
	movl	kernel_size + 4, %eax		# sizes have 31 bits
	orl	initrd_size + 4, %eax
	orl	cmdline_size + 4, %eax
	jnz	die
	movl	kernel_size, %eax
	orl	initrd_size, %eax
	js	die
	cmpl	$0x10000, kernel_size
	jb	die
	movl	$0x400, %ecx			# up to the end of the header
	call	read_start
	movw	$REAL >> 4, %ax
	movw	%ax, %fs
	movw	$text_kernel, %si
	cmpw	$0xaa55, %fs:0x1fe
	jne	die
	cmpl	$0x53726448, %fs:0x202		# "HdrS"
	jne	die
	cmpw	$0x20a, %fs:0x206		# the version from which init_size is there
	jb	die
	testb	$1, %fs:0x211			# to be loaded at 1 MiB
	jz	die
	movzbl	%fs:0x1f1, %ecx			# setup_sects, without the first one
	incl	%ecx
	shll	$9, %ecx
	cmpl	$SETUP_MAX, %ecx
	ja	die
	movl	%ecx, setup_size
	call	read_start
	movw	$REAL >> 4, %ax			# what a BIOS may have lost
	movw	%ax, %fs
	movl	%fs:0x22c, %eax			# initrd_addr_max
	movl	%eax, initrd_max
	# Where the kernel unpacks itself: pref_address, init_size bytes.
	cmpl	$0, %fs:0x25c
	jne	die
	movl	%fs:0x258, %eax
	addl	%fs:0x260, %eax
	jc	die
	movl	%eax, floor
	# Nor where it is read to.
	movl	$KERNEL, %eax
	addl	kernel_size, %eax
	cmpl	floor, %eax
	jbe	1f
	movl	%eax, floor
1:	ret

# Reads ECX bytes of the kernel to REAL.
read_start:
	movl	kernel_at, %eax
	movl	kernel_at + 4, %edx
	movl	$REAL, %edi
	jmp	read

# ---- Room for the initramfs ------------------------------------------------------

# The highest page that it fits behind, within memory that is free, above the kernel's own, and
# below what the kernel can reach at first.
find_room:
	xorl	%ebx, %ebx
1:	movl	$0xe820, %eax
	movl	$0x534d4150, %edx		# "SMAP"
	movl	$20, %ecx
	movw	$MAP, %di
	int	$0x15
	jc	4f
	cmpl	$0x534d4150, %eax
	jne	4f
	cmpl	$1, MAP + 16			# usable
	jne	3f
	cmpl	$0, MAP + 4			# beginning below 4 GiB
	jne	3f
	movl	MAP, %eax
	movl	MAP + 12, %edx
	addl	MAP + 8, %eax			# its end
	adcl	$0, %edx
	jz	2f
	orl	$-1, %eax
2:	movl	initrd_max, %edx
	cmpl	%edx, %eax
	jbe	2f
	movl	%edx, %eax
2:	subl	initrd_size, %eax
	jb	3f
	andw	$0xf000, %ax
	cmpl	MAP, %eax
	jb	3f
	cmpl	floor, %eax
	jb	3f
	cmpl	initrd_to, %eax
	jbe	3f
	movl	%eax, initrd_to
3:	testl	%ebx, %ebx
	jnz	1b
4:	movw	$text_memory, %si
	cmpl	$0, initrd_to
	je	die
	ret

# ---- The medium --------------------------------------------------------------------

# How large its sectors are. CD-ROMs have 2048 bytes, and BIOSes that do not say so have one.
sectors:
	movw	$VBE, %si
	movw	$30, (%si)
	movb	$0x48, %ah
	movb	drive, %dl
	int	$0x13
	movw	VBE + 24, %ax
	jnc	1f
	xorw	%ax, %ax
1:	testw	%ax, %ax
	jnz	2f
	movw	$512, %ax
	cmpb	$0xe0, drive
	jb	2f
	movw	$2048, %ax
2:	movb	$9, %cl
3:	movw	$1, %bx
	shlw	%cl, %bx
	cmpw	%ax, %bx
	je	4f
	incb	%cl
	cmpb	$13, %cl
	jb	3b
	movw	$text_sectors, %si
	jmp	die
4:	movb	%cl, shift
	ret

# Reads ECX bytes that begin at the byte EDX:EAX of the medium to the address EDI.
read:
	movl	%eax, at
	movl	%edx, at + 4
	movl	%ecx, left
	movl	%edi, to
1:	cmpl	$0, left
	je	9f
	# EBP: what of the first sector comes before.
	movl	at, %eax
	movl	at + 4, %edx
	movb	shift, %cl
	movl	$1, %ebp
	shll	%cl, %ebp
	decl	%ebp
	movl	%ebp, %edi
	andl	%eax, %ebp
	shrdl	%cl, %edx, %eax
	shrl	%cl, %edx
	movl	%eax, packet_sector
	movl	%edx, packet_sector + 4
	# EBX: bytes to read, with those before; at most what the buffer takes.
	movl	left, %ebx
	addl	%ebp, %ebx
	cmpl	$CHUNK, %ebx
	jbe	2f
	movl	$CHUNK, %ebx
2:	movl	%ebx, %eax
	addl	%edi, %eax
	shrl	%cl, %eax
	movb	$5, tries
3:	movw	%ax, packet_count
	pushal
	movb	$0x42, %ah
	movb	drive, %dl
	movw	$packet, %si
	int	$0x13
	popal
	jnc	4f
	movw	$text_medium, %si
	decb	tries
	jz	die
	pushal
	xorw	%ax, %ax			# reset
	movb	drive, %dl
	int	$0x13
	popal
	jmp	3b
4:	subl	%ebp, %ebx
	leal	BUFFER(%ebp), %esi
	movl	to, %edi
	movl	%ebx, %ecx
	call	copy
	addl	%ebx, at
	adcl	$0, at + 4
	addl	%ebx, to
	subl	%ebx, left
	jmp	1b
9:	ret

# Copies ECX bytes from ESI to EDI, wherever in 4 GiB they are. In real mode segments end at 64
# KiB; one loaded in protected mode keeps its end when that is left.
copy:
	cli
	lgdtl	gdt_place
	movl	%cr0, %eax
	orb	$1, %al
	movl	%eax, %cr0
	jmp	1f
1:	movw	$8, %dx
	movw	%dx, %ds
	movw	%dx, %es
	andb	$0xfe, %al
	movl	%eax, %cr0
	jmp	2f
2:	xorw	%dx, %dx
	movw	%dx, %ds
	movw	%dx, %es
	movl	%ecx, %edx
	shrl	$2, %ecx
	addr32 rep movsl
	movl	%edx, %ecx
	andl	$3, %ecx
	addr32 rep movsb
	sti
	ret

# ---- The machine ---------------------------------------------------------------------

# Address line 20, which machines since 1984 come with switched off.
a20:
	call	is_a20
	jne	9f
	movw	$0x2401, %ax
	int	$0x15
	call	is_a20
	jne	9f
	inb	$0x92, %al
	orb	$2, %al
	andb	$0xfe, %al			# 1 would reset the machine
	outb	%al, $0x92
	movw	$0xffff, %cx
1:	call	is_a20
	jne	9f
	loop	1b
	movw	$text_a20, %si
	jmp	die
9:	ret

# Not equal: what is 1 MiB higher is another byte.
is_a20:
	movw	$0xffff, %ax
	movw	%ax, %fs
	movw	MAP, %ax
	pushw	%ax
	notw	%ax
	movw	%ax, %fs:MAP + 16
	cmpw	%ax, MAP
	popw	%ax
	movw	%ax, MAP
	ret

# DX: the kernel's number of a mode of 1024 x 768 in true colour that VESA's BIOS can set, best of
# 32 bits a pixel; that of plain text where there is none.
video:
	movw	$0xffff, %dx
	movl	$0x32454256, VBE		# "VBE2"
	movw	$VBE, %di
	movw	$0x4f00, %ax
	pushw	%dx
	int	$0x10
	popw	%dx
	cmpw	$0x004f, %ax
	jne	9f
	lfsw	VBE + 14, %si
1:	movw	%fs:(%si), %cx
	addw	$2, %si
	cmpw	$0x200, %cx			# the kernel knows none from there on; the end is ffff
	jb	2f
	cmpw	$0xffff, %cx
	jne	1b
9:	xorw	%ax, %ax
	movw	%ax, %es
	ret
2:	movw	$VBE_MODE, %di
	movw	$0x4f01, %ax
	pushal
	pushw	%fs
	int	$0x10
	movw	%ax, VBE
	popw	%fs
	popal
	cmpw	$0x004f, VBE
	jne	1b
	movw	VBE_MODE, %ax
	andb	$0x99, %al			# supported, coloured, graphics, in one piece
	cmpb	$0x99, %al
	jne	1b
	cmpw	$1024, VBE_MODE + 18
	jne	1b
	cmpw	$768, VBE_MODE + 20
	jne	1b
	cmpb	$6, VBE_MODE + 27		# red, green and blue directly
	jne	1b
	cmpb	$24, VBE_MODE + 25
	jb	1b
	movw	%cx, %dx
	addw	$0x200, %dx
	cmpb	$32, VBE_MODE + 25
	jne	1b
	jmp	9b

# ---- What goes wrong ---------------------------------------------------------------------

# The first serial port, where there is one, to 115200 bits a second.
serial:
	movw	$COM1 + 3, %dx
	movb	$0x83, %al
	outb	%al, %dx
	movw	$COM1, %dx
	movb	$1, %al
	outb	%al, %dx
	incw	%dx
	movb	$0, %al
	outb	%al, %dx
	movw	$COM1 + 3, %dx
	movb	$3, %al
	outb	%al, %dx
	ret

# Prints the text at SI on screen and serial port, and stops.
die:
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	pushw	%si
	movw	$text_cannot, %si
	call	print
	popw	%si
	call	print
1:	hlt
	jmp	1b

print:
	lodsb
	testb	%al, %al
	jz	9f
	movw	$COM1 + 5, %dx
	movw	$0xffff, %cx
	movb	%al, %bl
1:	inb	%dx, %al
	testb	$0x20, %al
	loopz	1b
	movb	%bl, %al
	movw	$COM1, %dx
	outb	%al, %dx
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	print
9:	ret

text_cannot:	.asciz "\r\nThis system cannot start: "
text_damaged:	.asciz "its boot loader is damaged.\r\n"
text_kernel:	.asciz "what should be its kernel is none that a BIOS can start.\r\n"
text_medium:	.asciz "the medium cannot be read.\r\n"
text_sectors:	.asciz "the medium's sectors have a strange size.\r\n"
text_memory:	.asciz "there is too little memory for its initramfs.\r\n"
text_a20:	.asciz "address line 20 cannot be switched on.\r\n"

	.org	4096
