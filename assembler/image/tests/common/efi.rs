//! EFI programs small enough to be made by hand.

use stagex_image::uki::Machine;

/// A position-independent ELF whose entry point runs `code`.
pub fn stub(machine: Machine, code: &[u8]) -> Vec<u8> {
    let number: u16 = match machine {
        Machine::X86_64 => 62,
        Machine::Arm64 => 183,
        Machine::Riscv64 => 243,
    };
    let mut elf = vec![0; 0x1000];
    elf.extend(code);
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &3_u16.to_le_bytes());
    put(18, &number.to_le_bytes());
    put(24, &0x1000_u64.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &1_u16.to_le_bytes());
    put(64, &1_u32.to_le_bytes());
    put(68, &5_u32.to_le_bytes());
    let len = code.len() as u64;
    for (field, value) in [0x1000, 0x1000, 0x1000, len, len].into_iter().enumerate() {
        put(72 + field * 8, &u64::to_le_bytes(value));
    }
    elf
}

/// The least that counts as a kernel: an EFI program with no sections.
pub fn kernel(machine: Machine) -> Vec<u8> {
    let mut pe = vec![0; 0x1000];
    let mut put = |at: usize, bytes: &[u8]| pe[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &64_u32.to_le_bytes());
    put(64, b"PE\0\0");
    put(68, &machine.pe().to_le_bytes());
    put(84, &240_u16.to_le_bytes());
    put(88, &0x20b_u16.to_le_bytes());
    put(88 + 68, &10_u16.to_le_bytes());
    pe
}
