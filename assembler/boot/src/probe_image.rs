//! A BIOS image of a few instructions that shows whether a virtual machine runs at all.

/// What the image writes to the first serial port.
pub const PROBE_TEXT: &str = "stagex probe\n";
/// QEMU's exit status when the image has run to its end with `isa-debug-exit` at port 0xf4.
pub const PROBE_EXIT: i32 = (0x2a << 1) | 1;

/// 64 KiB: the last part of the first MiB, where x86 begins in real mode.
const SIZE: usize = 0x1_0000;
/// The image's address there.
const BASE: u32 = 0xf_0000;
/// Where the processor begins, from the image's start: 16 bytes below its end.
const RESET: usize = SIZE - 16;
/// Where the code finds its tables and its text, from the image's start.
const GDT: u16 = 0x100;
const GDTR: u16 = 0x120;
const TEXT: u16 = 0x140;

/// An x86 BIOS image for QEMU's q35 that writes [`PROBE_TEXT`] to COM1 and leaves: with
/// [`PROBE_EXIT`] where there is an `isa-debug-exit`, by powering off through ACPI where not.
///
/// It writes from protected mode and after preparing the floating-point unit, as UEFI firmware
/// does among its first instructions. A host that is itself a virtual machine may have a
/// `/dev/kvm` that interprets what it cannot virtualise: integer code runs there, and the first
/// floating-point instruction ends the guest with "KVM internal error".
pub fn probe_image() -> Vec<u8> {
    let mut image = vec![0xf4; SIZE]; // hlt
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);

    // jmp far f000:0000, the image's start
    put(RESET, &[0xea, 0x00, 0x00, 0x00, 0xf0]);

    let [gdtr, gdtr_high] = GDTR.to_le_bytes();
    let [start, start_high, start_top, _] = (BASE + 0x18).to_le_bytes();
    let [text, text_high, text_top, _] = (BASE + u32::from(TEXT)).to_le_bytes();
    #[rustfmt::skip]
    let code = [
        // 16 bits
        0xfa,                                     // 00 cli
        0x2e, 0x66, 0x0f, 0x01, 0x16, gdtr, gdtr_high, // 01 lgdt cs:[GDTR]
        0x0f, 0x20, 0xc0,                         // 08 mov eax, cr0
        0x0c, 0x01,                               // 0b or al, 1 (protection enable)
        0x0f, 0x22, 0xc0,                         // 0d mov cr0, eax
        0x66, 0xea, start, start_high, start_top, 0, 8, 0, // 10 jmp far 08:start
        // 32 bits
        0x66, 0xb8, 0x10, 0x00,                   // 18 start: mov ax, 10
        0x8e, 0xd8,                               // 1c mov ds, ax
        0xbe, text, text_high, text_top, 0,       // 1e mov esi, text
        0x9b, 0xdb, 0xe3,                         // 23 finit
        0x0f, 0x20, 0xe0,                         // 26 mov eax, cr4
        0x66, 0x0d, 0x00, 0x02,                   // 29 or ax, 200 (OSFXSR)
        0x0f, 0x22, 0xe0,                         // 2d mov cr4, eax
        0x0f, 0x57, 0xc0,                         // 30 xorps xmm0, xmm0
        0x66, 0xba, 0xf8, 0x03,                   // 33 mov dx, 3f8 (COM1)
        0xac,                                     // 37 next: lodsb
        0x84, 0xc0,                               // 38 test al, al
        0x74, 0x03,                               // 3a jz done
        0xee,                                     // 3c out dx, al
        0xeb, 0xf8,                               // 3d jmp next
        0x66, 0xba, 0xf4, 0x00,                   // 3f done: mov dx, f4 (isa-debug-exit)
        0xb0, 0x2a,                               // 43 mov al, 2a
        0xee,                                     // 45 out dx, al
        0xb8, 0x40, 0xf8, 0x00, 0x80,             // 46 mov eax, 8000f840 (LPC bridge, PMBASE)
        0x66, 0xba, 0xf8, 0x0c,                   // 4b mov dx, cf8
        0xef,                                     // 4f out dx, eax
        0xb8, 0x01, 0x06, 0x00, 0x00,             // 50 mov eax, 601
        0xb2, 0xfc,                               // 55 mov dl, fc
        0xef,                                     // 57 out dx, eax
        0xb8, 0x44, 0xf8, 0x00, 0x80,             // 58 mov eax, 8000f844 (ACPI_CNTL)
        0xb2, 0xf8,                               // 5d mov dl, f8
        0xef,                                     // 5f out dx, eax
        0xb8, 0x80, 0x00, 0x00, 0x00,             // 60 mov eax, 80 (ACPI_EN)
        0xb2, 0xfc,                               // 65 mov dl, fc
        0xef,                                     // 67 out dx, eax
        0x66, 0xba, 0x04, 0x06,                   // 68 mov dx, 604 (PM1a_CNT)
        0x66, 0xb8, 0x00, 0x20,                   // 6c mov ax, 2000 (SLP_EN, S5)
        0x66, 0xef,                               // 70 out dx, ax
        0xf4,                                     // 72 halt: hlt
        0xeb, 0xfd,                               // 73 jmp halt
    ];
    put(0, &code);

    // Nothing; code and data over all 4 GiB, already "accessed", for the processor would write
    // that bit to what is read-only memory.
    put(GDT.into(), &[0; 8]);
    put(usize::from(GDT) + 8, &[0xff, 0xff, 0, 0, 0, 0x9b, 0xcf, 0]);
    put(usize::from(GDT) + 16, &[0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0]);
    put(GDTR.into(), &23_u16.to_le_bytes());
    put(usize::from(GDTR) + 2, &(BASE + u32::from(GDT)).to_le_bytes());
    put(TEXT.into(), PROBE_TEXT.as_bytes());
    put(usize::from(TEXT) + PROBE_TEXT.len(), &[0]);
    image
}
