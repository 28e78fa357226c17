//! ELF: executables, libraries, objects and kernels, by section.

use crate::{
    bytes::Bytes,
    context::Context,
    error::{Result, invalid},
    node::{Container, Kind, Node},
    values::{be, le, text},
};

/// The most bytes of section names that are read.
const MAX_NAMES: u64 = 16 << 20;
const NO_BITS: u64 = 8;

/// Opens an executable.
pub(super) fn open(context: &Context, bytes: &Bytes) -> Result<Container> {
    let ident = bytes.array::<64>(0).or_else(|_| {
        let mut ident = [0; 64];
        bytes.read_exact_at(0, &mut ident[..52]).map(|()| ident)
    })?;
    let (wide, big) = match (ident[4], ident[5]) {
        (class @ 1..=2, order @ 1..=2) => (class == 2, order == 2),
        _ => return Err(invalid("elf", "neither of 32 nor of 64 bits")),
    };
    let number = |bytes: &[u8], at: usize, size: usize| {
        if big { be(bytes, at, size) } else { le(bytes, at, size) }
    };
    let word = if wide { 8 } else { 4 };
    let head = |narrow: usize, wider: usize, size: usize| {
        number(&ident, if wide { wider } else { narrow }, size)
    };
    let mut container = Container::new("elf");
    container.field("class", if wide { 64 } else { 32 });
    container.field("order", if big { "big" } else { "little" });
    container.field("abi", ident[7]);
    container.field("type", number(&ident, 16, 2));
    container.field("machine", number(&ident, 18, 2));
    container.field("entry", format!("{:#x}", head(24, 24, word)));
    container.field("flags", format!("{:#x}", head(36, 48, 4)));
    let (programs, sections) = (head(28, 32, word), head(32, 40, word));
    let (program_size, program_count) = (head(42, 54, 2), head(44, 56, 2));
    let (section_size, mut section_count) = (head(46, 58, 2), head(48, 60, 2));
    let mut names_index = head(50, 62, 2);
    for index in 0..program_count {
        let len = if wide { 56 } else { 32 };
        if program_size < len {
            return Err(invalid("elf", "program headers are too small"));
        }
        let at = programs.saturating_add(index * program_size);
        let entry = bytes.vec(at, len as usize)?;
        let get = |narrow, wider| number(&entry, if wide { wider } else { narrow }, word);
        let flags = number(&entry, if wide { 4 } else { 24 }, 4);
        container.field(
            format!("segment {index}"),
            format!(
                "type {:#x} flags {flags:#x} offset {:#x} address {:#x} file {:#x} memory {:#x}",
                number(&entry, 0, 4),
                get(4, 8),
                get(8, 16),
                get(16, 32),
                get(20, 40)
            ),
        );
    }
    if sections == 0 {
        return Ok(container);
    }
    let len = if wide { 64 } else { 40 };
    if section_size < len {
        return Err(invalid("elf", "section headers are too small"));
    }
    let section = |index: u64| {
        let at = sections.saturating_add(index.saturating_mul(section_size));
        bytes.vec(at, len as usize)
    };
    let field =
        |entry: &[u8], narrow, wider| number(entry, if wide { wider } else { narrow }, word);
    // Counts that do not fit stand in the first section, which is otherwise empty.
    let first = section(0)?;
    if section_count == 0 {
        section_count = field(&first, 20, 32);
    }
    if names_index == 0xffff {
        names_index = number(&first, if wide { 40 } else { 24 }, 4);
    }
    context.check_entries(usize::try_from(section_count).unwrap_or(usize::MAX))?;
    let names = if names_index == 0 {
        Vec::new()
    } else {
        let entry = section(names_index)?;
        let len = field(&entry, 20, 32).min(MAX_NAMES);
        bytes.vec(field(&entry, 16, 24), len as usize)?
    };
    for index in 1..section_count {
        let entry = section(index)?;
        let name = usize::try_from(number(&entry, 0, 4)).ok().and_then(|at| names.get(at..));
        let name = text(&name.unwrap_or(&[])[..name.unwrap_or(&[]).len().min(256)]);
        let name = if name.is_empty() { format!("section-{index}") } else { name };
        let kind = number(&entry, 4, 4);
        let mut node = Node::new(name, Kind::Section)
            .note("type", kind)
            .note("flags", format!("{:#x}", field(&entry, 8, 8)))
            .note("address", format!("{:#x}", field(&entry, 12, 16)));
        let (offset, len) = (field(&entry, 16, 24), field(&entry, 20, 32));
        if kind == NO_BITS {
            node = node.note("memory", len);
        } else if kind != 0 {
            node.bytes = Some(bytes.slice(offset, len)?);
        }
        container.nodes.push(node);
    }
    Ok(container)
}
