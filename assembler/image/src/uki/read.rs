//! Reads PE32+ images: our own, other tools' UKIs, and kernels.

use std::io::{self, Read};

use stagex_tree::{Content, Source};

use super::{Machine, PeError, pe};

/// How much of a file its headers may take, in bytes.
pub(super) const MAX_HEADERS: u64 = 1 << 16;
/// How much of a text section is read, in bytes.
const MAX_TEXT: u64 = 1 << 20;

/// A PE32+ EFI application.
#[derive(Debug, Clone)]
pub struct PeImage {
    /// The machine it runs on.
    pub machine: Machine,
    /// The address of its first instruction, from its start in memory.
    pub entry: u32,
    /// Bytes it takes in memory.
    pub size_of_image: u32,
    /// The DLL characteristics flags, among them NX_COMPAT (0x100).
    pub dll_characteristics: u16,
    /// The checksum in the header; 0 is none.
    pub checksum: u32,
    /// The bytes of its Authenticode certificate table: 0 where it is not signed.
    pub certificates: u32,
    /// In the order of the section table.
    pub sections: Vec<Section>,
}

/// A section of an [`PeImage`].
#[derive(Debug, Clone)]
pub struct Section {
    /// The name, without the NULs that pad it.
    pub name: String,
    /// Where it lies in memory, from the image's start.
    pub address: u32,
    /// Bytes in memory.
    pub size: u32,
    /// Bytes before it in the file.
    pub offset: u32,
    /// The characteristics flags.
    pub characteristics: u32,
    /// Its bytes in the file, without the padding to a sector.
    pub content: Content,
}

impl PeImage {
    /// Reads the headers of an image; the sections' bytes stay where they are.
    pub fn parse(image: &Content) -> Result<Self, PeError> {
        let mut head = Vec::new();
        image.open()?.take(MAX_HEADERS).read_to_end(&mut head)?;
        let mut parsed = parse_head(&head, image.len())?;
        for section in &mut parsed.sections {
            section.content = slice(image, section.offset.into(), section.content.len())?;
        }
        Ok(parsed)
    }

    /// The first section with a name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// The text of a section such as `.cmdline`, up to a NUL; none where there is no such section.
    ///
    /// At most the first MiB is read, and bytes that are not UTF-8 are shown as U+FFFD.
    pub fn text(&self, name: &str) -> io::Result<Option<String>> {
        let Some(section) = self.section(name) else { return Ok(None) };
        let mut bytes = Vec::new();
        section.content.open()?.take(MAX_TEXT).read_to_end(&mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
        Ok(Some(String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }

    /// Whether it has a kernel beside its own code.
    pub fn is_uki(&self) -> bool {
        self.section(".linux").is_some()
    }

    /// Computes the checksum of `image`, whose headers these are: equal to [`PeImage::checksum`]
    /// in an image that is whole.
    pub fn compute_checksum(image: &Content) -> Result<u32, PeError> {
        let mut reader = image.open()?;
        let mut head = Vec::new();
        reader.by_ref().take(MAX_HEADERS).read_to_end(&mut head)?;
        let header = get(&head, 0x3c, 4).ok_or(PeError::Truncated)? as usize;
        let field = header.checked_add(pe::COFF_HEADER + 64).ok_or(PeError::Truncated)?;
        head.get_mut(field..field.saturating_add(4)).ok_or(PeError::Truncated)?.fill(0);
        let mut checksum = pe::Checksum::default();
        checksum.update(&head);
        io::copy(&mut reader, &mut checksum)?;
        Ok(checksum.finish())
    }
}

/// Reads headers from the first bytes of a file of `len` bytes; the sections' contents are empty
/// but for their length.
pub(super) fn parse_head(head: &[u8], len: u64) -> Result<PeImage, PeError> {
    if !head.starts_with(b"MZ") {
        return Err(PeError::NoMz);
    }
    let field = |offset: u64, size| get(head, offset, size).ok_or(PeError::Truncated);
    let header = field(0x3c, 4)?;
    if field(header, 4)? != u64::from(u32::from_le_bytes(*b"PE\0\0")) {
        return Err(PeError::NoPe { offset: header as u32 });
    }
    let machine = field(header + 4, 2)? as u16;
    let machine = Machine::from_pe(machine).ok_or(PeError::Machine { machine })?;
    let count = field(header + 6, 2)?;
    let optional = header + pe::COFF_HEADER as u64;
    let table = optional + field(header + 20, 2)?;
    let magic = field(optional, 2)? as u16;
    let subsystem = field(optional + 68, 2)? as u16;
    if magic != pe::MAGIC || subsystem != pe::SUBSYSTEM {
        return Err(PeError::NotEfi { magic, subsystem });
    }
    let directories = field(optional + 108, 4)?;
    let certificates = if directories > 4 { field(optional + 112 + 4 * 8 + 4, 4)? } else { 0 };
    let mut sections = Vec::new();
    for index in 0..count {
        let at = table + index * pe::SECTION_HEADER as u64;
        sections.push(section(head, at, len)?);
    }
    Ok(PeImage {
        machine,
        entry: field(optional + 16, 4)? as u32,
        size_of_image: field(optional + 56, 4)? as u32,
        dll_characteristics: field(optional + 70, 2)? as u16,
        checksum: field(optional + 64, 4)? as u32,
        certificates: certificates as u32,
        sections,
    })
}

fn section(head: &[u8], at: u64, len: u64) -> Result<Section, PeError> {
    let field = |offset, size| get(head, at + offset, size).ok_or(PeError::Truncated);
    let start = usize::try_from(at).map_err(|_| PeError::Truncated)?;
    let name = head.get(start..start.saturating_add(8)).ok_or(PeError::Truncated)?;
    let name_end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
    let name = String::from_utf8_lossy(&name[..name_end]).into_owned();
    let (size, raw, offset) = (field(8, 4)?, field(16, 4)?, field(20, 4)?);
    // Uninitialised data has a place in memory only; padding only one in the file.
    let bytes = raw.min(size);
    if bytes != 0 && offset + bytes > len {
        return Err(PeError::Section { name, end: offset + bytes, len });
    }
    Ok(Section {
        name,
        address: field(12, 4)? as u32,
        size: size as u32,
        offset: offset as u32,
        characteristics: field(36, 4)? as u32,
        content: Content::from_file(std::path::Path::new(""), 0, bytes),
    })
}

/// A little-endian number of `size` bytes, at most 8.
pub(super) fn get(bytes: &[u8], offset: u64, size: usize) -> Option<u64> {
    let start = usize::try_from(offset).ok()?;
    let bytes = bytes.get(start..start.checked_add(size)?)?;
    Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

pub(super) fn slice(whole: &Content, offset: u64, len: u64) -> io::Result<Content> {
    if len == 0 {
        return Ok(Content::from_bytes([]));
    }
    match whole.source() {
        Source::File { path, offset: base } => {
            Ok(Content::from_file(path.clone(), base + offset, len))
        }
        Source::Bytes(bytes) => {
            let range = usize::try_from(offset).ok().zip(usize::try_from(len).ok());
            let slice = range.and_then(|(start, len)| bytes.get(start..start.checked_add(len)?));
            slice.map(Content::from_bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }
    }
}
