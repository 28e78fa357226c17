//! PE32 and PE32+: EFI programs, kernels and unified kernel images, by section.

use crate::{
    bytes::Bytes,
    error::Result,
    node::{Container, Kind, Node},
    values::{le, text},
};

/// Where the headers are, at most; what begins with MZ for another reason is told apart by this.
const MAX_HEADER: u64 = 1 << 20;
/// The certificate table's place among the data directories.
const CERTIFICATES: u64 = 4;

fn header(bytes: &Bytes, head: &[u8]) -> Option<u64> {
    let at = le(head, 0x3c, 4);
    let found = head.starts_with(b"MZ") && head.len() >= 0x40 && (0x40..MAX_HEADER).contains(&at);
    (found && bytes.array::<4>(at).ok()? == *b"PE\0\0").then_some(at)
}

/// Whether bytes are a PE image.
pub(super) fn is(bytes: &Bytes, head: &[u8]) -> bool {
    header(bytes, head).is_some()
}

/// Opens an EFI program.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let at = header(bytes, &bytes.head(64)?).unwrap_or(0);
    let coff = bytes.array::<24>(at)?;
    let size = le(&coff, 20, 2) as usize;
    let optional = bytes.vec(at + 24, size)?;
    let plus = le(&optional, 0, 2) == 0x20b;
    let mut container = Container::new("pe");
    let machine = le(&coff, 4, 2);
    container.field(
        "machine",
        format!(
            "{machine:#06x}{}",
            match machine {
                0x14c => " i386",
                0x8664 => " x86_64",
                0xaa64 => " arm64",
                0x5064 => " riscv64",
                _ => "",
            }
        ),
    );
    container.field("timestamp", le(&coff, 8, 4));
    container.field("characteristics", format!("{:#06x}", le(&coff, 22, 2)));
    container.field("magic", format!("{:#05x}", le(&optional, 0, 2)));
    let mut field = |name: &str, at, size| {
        container.field(name, format!("{:#x}", le(&optional, at, size)));
    };
    field("entry", 16, 4);
    field("image base", if plus { 24 } else { 28 }, if plus { 8 } else { 4 });
    field("section alignment", 32, 4);
    field("file alignment", 36, 4);
    field("image version", 44, 4);
    field("image size", 56, 4);
    field("headers size", 60, 4);
    field("checksum", 64, 4);
    field("subsystem", 68, 2);
    field("dll characteristics", 70, 2);
    let count_at = if plus { 108 } else { 92 };
    let directories = le(&optional, count_at, 4);
    let mut signature = None;
    for index in 0..directories.min(16) {
        let entry = count_at + 4 + index as usize * 8;
        let (offset, len) = (le(&optional, entry, 4), le(&optional, entry + 4, 4));
        if index == CERTIFICATES && len != 0 {
            signature = Some((offset, len));
        } else if len != 0 {
            container.field(format!("directory {index}"), format!("{offset:#x}+{len:#x}"));
        }
    }
    for index in 0..le(&coff, 6, 2) {
        let entry = bytes.array::<40>(at + 24 + size as u64 + index * 40)?;
        let (memory, raw) = (le(&entry, 8, 4), le(&entry, 16, 4));
        // Padding to a sector is no content, and what is not initialised has none.
        let len = if memory == 0 { raw } else { raw.min(memory) };
        let content = bytes.slice(if len == 0 { 0 } else { le(&entry, 20, 4) }, len)?;
        let node = Node::with_bytes(text(&entry[..8]), Kind::Section, content)
            .note("address", format!("{:#x}", le(&entry, 12, 4)))
            .note("memory", memory)
            .note("flags", format!("{:#010x}", le(&entry, 36, 4)));
        container.nodes.push(node);
    }
    if let Some((offset, len)) = signature {
        let content = bytes.slice(offset, len)?;
        container.nodes.push(Node::with_bytes("(signature)", Kind::Part, content));
    }
    Ok(container)
}
