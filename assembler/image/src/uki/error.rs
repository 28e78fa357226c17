//! What can be wrong with a unified kernel image or its parts.

use std::io;

use super::Machine;

/// Why a unified kernel image cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum UkiError {
    /// A part cannot be read.
    #[error("the {part} cannot be read")]
    Read {
        /// `EFI stub`, `kernel` or `initramfs`.
        part: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The EFI stub is not what the writer can turn into PE.
    #[error("the EFI stub cannot be used: {problem}")]
    Stub {
        /// Why not.
        problem: StubProblem,
    },
    /// The kernel is a format that no firmware starts.
    #[error(
        "the kernel is {found}, and a kernel with an EFI stub is needed (CONFIG_EFI_STUB; \
         bzImage on x86_64, Image or vmlinuz.efi elsewhere)"
    )]
    KernelFormat {
        /// What it is instead.
        found: &'static str,
    },
    /// The kernel begins as a PE image and then is none.
    #[error("the kernel is not an EFI program: {source}")]
    Kernel {
        /// Why.
        source: PeError,
    },
    /// The stub and the kernel are for different machines.
    #[error("the EFI stub is for {stub}, but the kernel is for {kernel}")]
    MachineMismatch {
        /// The stub's machine.
        stub: Machine,
        /// The kernel's.
        kernel: Machine,
    },
    /// The command line would not reach the kernel as it is.
    #[error("the kernel command line {problem}")]
    Cmdline {
        /// What is wrong.
        problem: CmdlineProblem,
    },
    /// A text section holds a NUL, which its readers take for its end.
    #[error("the text for section {section} holds a NUL at byte {offset}")]
    Text {
        /// The section's name.
        section: &'static str,
        /// Where, in bytes from its start.
        offset: usize,
    },
    /// A part that this machine's kernels have no use for.
    #[error("{machine} kernels take no {part}")]
    NotForMachine {
        /// `microcode` or `device tree`.
        part: &'static str,
        /// The machine.
        machine: Machine,
    },
    /// Microcode that the kernel would not find.
    #[error("the microcode is not a cpio archive (newc, not compressed), as the kernel expects it")]
    Ucode,
    /// Bytes that are no device tree.
    #[error("the device tree is not one compiled blob (dtb)")]
    Dtb,
    /// All parts together do not fit in a PE image.
    #[error("the image would take {bytes} bytes of memory, and PE ends at {max}")]
    TooLarge {
        /// Bytes it would take when loaded.
        bytes: u64,
        /// The largest size, in bytes.
        max: u64,
    },
}

/// What is wrong with an EFI stub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StubProblem {
    /// Not a 64-bit little-endian ELF program.
    #[error("it is not a 64-bit little-endian ELF program")]
    NotElf,
    /// For a machine that stagex does not boot.
    #[error("its ELF machine {0} is not one of x86_64, arm64 and riscv64")]
    Machine(u16),
    /// An offset or length points outside the file.
    #[error("its {0} lies outside the file")]
    Outside(&'static str),
    /// Not position-independent, so that it would run only where it was linked.
    #[error("it is not position-independent (link it with -static-pie)")]
    NotPie,
    /// A segment that is both writable and executable.
    #[error("the segment at {0:#x} is writable and executable")]
    WritableCode(u64),
    /// Two segments of one kind, or segments out of order.
    #[error("it has more than one {0} segment")]
    Duplicate(&'static str),
    /// Segments that overlap, lie in the PE header's page, or are not aligned to pages.
    #[error(
        "the segment at {0:#x} is not on a page of its own above the first (link it with \
         stub.ld)"
    )]
    Placement(u64),
    /// Nothing to execute at the entry point.
    #[error("its entry point {0:#x} is not in its code")]
    Entry(u64),
    /// A relocation that PE cannot express.
    #[error("its dynamic relocation of type {kind} at {offset:#x} has no counterpart in PE")]
    Relocation {
        /// The ELF relocation type.
        kind: u32,
        /// The address to be relocated.
        offset: u64,
    },
    /// A dynamic table whose relocations would be overlooked.
    #[error("its dynamic section has relocations of an unexpected kind (tag {0:#x})")]
    RelocationTable(u64),
    /// Larger than any stub.
    #[error("it has {0} bytes, more than a stub can need")]
    TooLarge(u64),
}

/// What is wrong with a kernel command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CmdlineProblem {
    /// A character that is not printable ASCII.
    #[error("holds {character:?} at character {position}: only printable ASCII is passed on")]
    Character {
        /// The character.
        character: char,
        /// Its position, from 1.
        position: usize,
    },
    /// A double quote without its partner.
    #[error("opens a double quote at character {position} that it never closes")]
    Quote {
        /// The position of the last quote, from 1.
        position: usize,
    },
    /// Longer than the kernel keeps.
    #[error("has {len} characters, and {machine} kernels keep {max}")]
    TooLong {
        /// Its length in characters.
        len: usize,
        /// The most that the kernel keeps.
        max: usize,
        /// The kernel's machine.
        machine: Machine,
    },
}

/// Why bytes are not a PE32+ image that can be read.
#[derive(Debug, thiserror::Error)]
pub enum PeError {
    /// The image cannot be read.
    #[error("it cannot be read: {source}")]
    Read {
        /// Why.
        #[from]
        source: io::Error,
    },
    /// The DOS header's `MZ` is missing.
    #[error("it does not begin with MZ")]
    NoMz,
    /// The PE signature is missing.
    #[error("there is no PE header at byte {offset:#x}")]
    NoPe {
        /// Where it should be.
        offset: u32,
    },
    /// A machine that stagex does not know.
    #[error("its PE machine type {machine:#06x} is not x86_64, arm64 or riscv64")]
    Machine {
        /// The machine type.
        machine: u16,
    },
    /// Not a 64-bit EFI application.
    #[error("it is not a PE32+ EFI application (magic {magic:#x}, subsystem {subsystem})")]
    NotEfi {
        /// The optional header's magic.
        magic: u16,
        /// The subsystem.
        subsystem: u16,
    },
    /// The headers end before what they announce.
    #[error("its headers end early")]
    Truncated,
    /// Bytes that stand between sections, which not all who hash the image take in.
    #[error("bytes {from:#x} to {to:#x} belong to no section, or to two")]
    Gap {
        /// Where they begin.
        from: u64,
        /// Where the next section begins, or the headers end.
        to: u64,
    },
    /// A certificate table that is not what stands at the end.
    #[error("its certificate table is not at its end")]
    Certificates,
    /// A section whose bytes are not in the file.
    #[error("section {name} ends at byte {end}, and the file at {len}")]
    Section {
        /// The section's name.
        name: String,
        /// Where its bytes would end.
        end: u64,
        /// The file's length.
        len: u64,
    },
}
