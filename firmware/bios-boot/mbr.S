# What a BIOS runs of a stick or a disk: brings the loader (boot.S) into memory and goes there.
#
# The BIOS loads the first sector to 0000:7c00 and starts it with the drive's number in DL. Of that
# sector 440 bytes are code; behind them lies the table of partitions.
#
# This code moves out of the loader's way, to 0000:0600, which it is linked for.

	.code16
	.set LOADER, 0x7c00
	.set HERE, 0x0600
	.globl _start
_start:
	cli
	xorw	%ax, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movw	$LOADER, %sp
	sti
	cld
	movw	$LOADER, %si
	movw	$HERE, %di
	movw	$256, %cx
	rep movsw
	ljmp	$0, $moved
moved:
	# Does the BIOS know how to read by sector number? (Enhanced Disk Drive Specification)
	movb	$0x41, %ah
	movw	$0x55aa, %bx
	int	$0x13
	movw	$old, %si
	jc	die
	cmpw	$0xaa55, %bx
	jne	die

	movb	$0x42, %ah
	movw	$packet, %si
	int	$0x13
	movw	$unreadable, %si
	jc	die
	movw	$damaged, %si
	cmpl	$0x31425853, LOADER + 4		# "SXB1"
	jne	die
	ljmp	$0, $LOADER

# Prints the text at SI and stops.
die:
	pushw	%si
	movw	$cannot, %si
	call	print
	popw	%si
	call	print
1:	hlt
	jmp	1b

print:
	lodsb
	testb	%al, %al
	jz	1f
	movb	$0x0e, %ah
	movw	$7, %bx
	int	$0x10
	jmp	print
1:	ret

cannot:	.asciz "\r\nThis system cannot start: "
old:	.asciz "the BIOS cannot read by sector number.\r\n"
unreadable:
	.asciz "its boot loader cannot be read.\r\n"
damaged:
	.asciz "its boot loader is not where it should be.\r\n"

# The last bytes of the 440. stagex writes the loader's first sector here.
	.org	424
packet:
	.byte	16, 0
	.word	8				# sectors: all of the loader
	.word	LOADER, 0			# offset and segment
	.quad	0				# the first sector
	.org	440
