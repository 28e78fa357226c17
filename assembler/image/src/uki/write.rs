//! Lays a unified kernel image out and writes it.

use std::io::{self, Read};

use stagex_tree::Content;

use super::{
    Machine, PeError, Plan, StubProblem, UkiError, check_cmdline,
    elf::{self, Stub},
    pe,
    read::parse_head,
};

/// How much of a kernel is looked at, in bytes: PE headers and the x86 setup code.
const KERNEL_HEAD: u64 = 1 << 16;
/// PE counts in 32 bits.
const MAX_IMAGE: u64 = u32::MAX as u64;

/// What a unified kernel image is made of.
#[derive(Debug, Clone)]
pub struct Uki {
    /// The EFI stub: `stub.elf` of package `firmware-stub`.
    pub stub: Content,
    /// The kernel: an EFI program, as Linux's bzImage, Image and vmlinuz.efi are.
    pub kernel: Content,
    /// The initramfs, if any.
    pub initrd: Option<Content>,
    /// The kernel's command line; see [`check_cmdline`].
    pub cmdline: String,
    /// The text of `/etc/os-release`, which boot menus show.
    pub os_release: Option<String>,
    /// The kernel's release. Where it is not given, an x86 kernel says it itself.
    pub uname: Option<String>,
    /// The SBAT table (CSV), which shim wants to see in what it starts.
    pub sbat: Option<String>,
    /// Microcode for x86 processors, as an uncompressed cpio archive: it comes before the initramfs.
    pub ucode: Option<Content>,
    /// The device tree that the kernel is given instead of the firmware's, on arm64 and riscv64.
    pub dtb: Option<Content>,
}

impl Uki {
    /// Checks all parts and lays them out. Reads kernel and initramfs once, for the checksum.
    pub fn plan(&self) -> Result<Plan, UkiError> {
        if self.stub.len() > elf::MAX_STUB {
            return Err(UkiError::Stub { problem: StubProblem::TooLarge(self.stub.len()) });
        }
        let stub = self.stub.read().map_err(read_error("EFI stub"))?;
        let stub = Stub::parse(&stub).map_err(|problem| UkiError::Stub { problem })?;
        let release = self.check_kernel(stub.machine)?;
        check_cmdline(&self.cmdline, stub.machine)
            .map_err(|problem| UkiError::Cmdline { problem })?;

        let mut layout = Layout::new(&stub)?;
        let texts = [
            (".osrel", self.os_release.as_deref()),
            (".cmdline", Some(&*self.cmdline).filter(|text| !text.is_empty())),
            (".uname", self.uname.as_deref().or(release.as_deref())),
            (".sbat", self.sbat.as_deref()),
        ];
        for (name, text) in texts {
            let Some(text) = text else { continue };
            if let Some(offset) = text.bytes().position(|byte| byte == 0) {
                return Err(UkiError::Text { section: name, offset });
            }
            layout.add(name, pe::DATA | pe::READ, Content::from_bytes(text.as_bytes()))?;
        }
        if let Some(dtb) = &self.dtb {
            check_dtb(dtb, stub.machine)?;
            layout.add(".dtb", pe::DATA | pe::READ, dtb.clone())?;
        }
        // Last, because they are large: what inspects the small ones need not seek over these.
        layout.add(".linux", pe::DATA | pe::READ, self.kernel.clone())?;
        if let Some(initrd) = self.initrd.as_ref().filter(|initrd| !initrd.is_empty()) {
            layout.add(".initrd", pe::DATA | pe::READ, initrd.clone())?;
        }
        if let Some(ucode) = &self.ucode {
            check_ucode(ucode, stub.machine)?;
            layout.add(".ucode", pe::DATA | pe::READ, ucode.clone())?;
        }
        layout.finish(&stub)
    }

    /// Checks the kernel and returns its release, where it says it.
    fn check_kernel(&self, machine: Machine) -> Result<Option<String>, UkiError> {
        let mut head = Vec::new();
        self.kernel
            .open()
            .and_then(|reader| reader.take(KERNEL_HEAD).read_to_end(&mut head))
            .map_err(read_error("kernel"))?;
        let found = match &*head {
            [] => Some("empty"),
            [0x1f, 0x8b, ..] => Some("compressed with gzip"),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some("compressed with zstd"),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Some("compressed with xz"),
            [0x7f, b'E', b'L', b'F', ..] => Some("an ELF file (vmlinux)"),
            _ => None,
        };
        if let Some(found) = found {
            return Err(UkiError::KernelFormat { found });
        }
        let kernel = parse_head(&head, self.kernel.len()).map_err(|source| match source {
            PeError::NoMz | PeError::NoPe { .. } => {
                UkiError::KernelFormat { found: "not an EFI program" }
            }
            source => UkiError::Kernel { source },
        })?;
        if kernel.machine != machine {
            return Err(UkiError::MachineMismatch { stub: machine, kernel: kernel.machine });
        }
        Ok(x86_release(&head))
    }
}

fn first_bytes(content: &Content, count: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    content.open()?.take(count.min(content.len())).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The kernel looks for microcode in an archive that is not compressed, and only on x86.
fn check_ucode(ucode: &Content, machine: Machine) -> Result<(), UkiError> {
    if machine != Machine::X86_64 {
        return Err(UkiError::NotForMachine { part: "microcode", machine });
    }
    let head = first_bytes(ucode, 6).map_err(read_error("microcode"))?;
    if head != b"070701" && head != b"070702" {
        return Err(UkiError::Ucode);
    }
    Ok(())
}

/// A device tree blob begins with its magic number and its length (Devicetree Specification 0.4,
/// 5.2).
fn check_dtb(dtb: &Content, machine: Machine) -> Result<(), UkiError> {
    if machine == Machine::X86_64 {
        return Err(UkiError::NotForMachine { part: "device tree", machine });
    }
    let head = first_bytes(dtb, 8).map_err(read_error("device tree"))?;
    let len = u32::try_from(dtb.len()).unwrap_or(0).to_be_bytes();
    if head.len() != 8 || head[..4] != [0xd0, 0x0d, 0xfe, 0xed] || head[4..] != len {
        return Err(UkiError::Dtb);
    }
    Ok(())
}

/// The release in an x86 kernel's setup header (Linux's Documentation/arch/x86/boot.rst).
fn x86_release(head: &[u8]) -> Option<String> {
    if head.get(0x202..0x206)? != b"HdrS" {
        return None;
    }
    let start = 0x200 + usize::from(u16::from_le_bytes([*head.get(0x20e)?, *head.get(0x20f)?]));
    let text = head.get(start..)?;
    let end = text.iter().position(|byte| !byte.is_ascii_graphic())?;
    Some(String::from_utf8_lossy(&text[..end]).into_owned()).filter(|text| !text.is_empty())
}

fn read_error(part: &'static str) -> impl FnOnce(io::Error) -> UkiError {
    move |source| UkiError::Read { part, source }
}

/// The layout as it grows, section by section.
struct Layout {
    table: Vec<u8>,
    parts: Vec<Content>,
    /// The next free address in memory and in the file.
    address: u64,
    offset: u64,
    data: u64,
    relocations: (u32, u32),
}

impl Layout {
    fn new(stub: &Stub) -> Result<Self, UkiError> {
        let mut layout = Self {
            table: Vec::new(),
            parts: Vec::new(),
            address: pe::SECTION_ALIGNMENT,
            offset: HEADERS,
            data: 0,
            relocations: (0, 0),
        };
        for segment in &stub.segments {
            layout.address = segment.address.into();
            let content = Content::from_bytes(&*segment.bytes);
            layout.add_sized(
                segment.name,
                segment.characteristics,
                content,
                segment.size.into(),
            )?;
        }
        let table = pe::base_relocations(&stub.relocations);
        layout.relocations = (layout.address as u32, table.len() as u32);
        layout.add(".reloc", pe::DATA | pe::READ | pe::DISCARDABLE, Content::from_bytes(table))?;
        Ok(layout)
    }

    fn add(&mut self, name: &str, characteristics: u32, content: Content) -> Result<(), UkiError> {
        let size = content.len();
        self.add_sized(name, characteristics, content, size)
    }

    fn add_sized(
        &mut self,
        name: &str,
        characteristics: u32,
        content: Content,
        size: u64,
    ) -> Result<(), UkiError> {
        let too_large = |bytes| UkiError::TooLarge { bytes, max: MAX_IMAGE };
        let end = self.address.saturating_add(size).saturating_add(pe::SECTION_ALIGNMENT);
        let raw = content.len().checked_next_multiple_of(pe::FILE_ALIGNMENT);
        let raw = raw.ok_or_else(|| too_large(end))?;
        if end > MAX_IMAGE || self.offset.saturating_add(raw) > MAX_IMAGE {
            return Err(too_large(end));
        }
        // All numbers are below MAX_IMAGE now.
        let mut padded = [0; 8];
        padded[..name.len()].copy_from_slice(name.as_bytes());
        self.table.extend(padded);
        for field in [size, self.address, raw, if raw == 0 { 0 } else { self.offset }, 0, 0, 0] {
            self.table.extend((field as u32).to_le_bytes());
        }
        self.table.extend(characteristics.to_le_bytes());
        if characteristics & pe::CODE == 0 {
            self.data += raw;
        }
        self.address = (self.address + size).next_multiple_of(pe::SECTION_ALIGNMENT);
        self.offset += raw;
        self.parts.push(content);
        Ok(())
    }

    fn finish(self, stub: &Stub) -> Result<Plan, UkiError> {
        let headers = self.headers(stub);
        let padded = |content: Content| {
            let padding = content.len().next_multiple_of(pe::FILE_ALIGNMENT) - content.len();
            (content, padding)
        };
        let parts = self.parts.into_iter().map(padded).collect();
        Plan::new(stub.machine, headers, pe::DOS_HEADER, parts).map_err(read_error("content"))
    }

    /// All headers, padded to where the first section begins; the checksum is zero.
    fn headers(&self, stub: &Stub) -> Vec<u8> {
        let code = stub.segments.iter().find(|segment| segment.name == ".text");
        let (code_address, code_size) = code.map_or((0, 0), |s| (s.address, s.bytes.len()));
        let mut out = Header::default();
        out.bytes(b"MZ");
        out.0.resize(0x3c, 0);
        out.u32(pe::DOS_HEADER as u64);

        out.bytes(b"PE\0\0");
        out.u16(stub.machine.pe());
        out.u16((self.table.len() / pe::SECTION_HEADER) as u16);
        out.u32(0); // TimeDateStamp: a reproducible image has none
        out.u32(0); // PointerToSymbolTable
        out.u32(0); // NumberOfSymbols
        out.u16(pe::OPTIONAL_HEADER as u16);
        out.u16(pe::CHARACTERISTICS);

        out.u16(pe::MAGIC);
        out.u16(0); // linker version
        out.u32((code_size as u64).next_multiple_of(pe::FILE_ALIGNMENT));
        out.u32(self.data);
        out.u32(0); // SizeOfUninitializedData
        out.u32(stub.entry.into());
        out.u32(code_address.into());
        out.u32(0); // ImageBase, 64 bits: below 1 MiB, so firmware picks a free place at once
        out.u32(0);
        out.u32(pe::SECTION_ALIGNMENT);
        out.u32(pe::FILE_ALIGNMENT);
        out.u32(0); // operating system version
        out.u32(0); // image version
        out.u32(0); // subsystem version
        out.u32(0); // Win32VersionValue
        out.u32(self.address); // SizeOfImage
        out.u32(HEADERS);
        out.u32(0); // CheckSum
        out.u16(pe::SUBSYSTEM);
        out.u16(pe::NX_COMPAT);
        for _ in 0..4 {
            out.u32(0); // stack and heap, reserved and committed: 64 bits each, no meaning in UEFI
            out.u32(0);
        }
        out.u32(0); // LoaderFlags
        out.u32(16); // NumberOfRvaAndSizes
        for directory in 0..16 {
            let (address, size) = if directory == 5 { self.relocations } else { (0, 0) };
            out.u32(address.into());
            out.u32(size.into());
        }
        out.bytes(&self.table);
        out.0.resize(HEADERS as usize, 0);
        out.0
    }
}

/// Room for all headers: the fixed ones and fifteen sections, of which twelve can be in use.
const HEADERS: u64 = 1024;

#[derive(Default)]
struct Header(Vec<u8>);

impl Header {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    fn u16(&mut self, value: u16) {
        self.0.extend(value.to_le_bytes());
    }

    /// A number that the layout keeps below 4 GiB.
    fn u32(&mut self, value: u64) {
        self.0.extend((value as u32).to_le_bytes());
    }
}
