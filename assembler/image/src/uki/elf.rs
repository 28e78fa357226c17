//! Reads the EFI stub: a static, position-independent ELF program (System V gABI).

use super::{Machine, StubProblem, pe};

/// The largest stub that is accepted, in bytes.
pub(super) const MAX_STUB: u64 = 1 << 20;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const ET_EXEC: u16 = 2;
const ET_DYN: u16 = 3;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_REL: u64 = 17;
const DT_JMPREL: u64 = 23;
const DT_RELR: u64 = 36;
const DT_FLAGS_1: u64 = 0x6fff_fffb;
const DF_1_PIE: u64 = 0x0800_0000;

/// A stub as PE will hold it.
#[derive(Debug)]
pub(super) struct Stub {
    pub(super) machine: Machine,
    pub(super) entry: u32,
    /// In the order of their addresses, which do not overlap.
    pub(super) segments: Vec<Segment>,
    /// Sorted addresses of 64-bit words that hold an address.
    pub(super) relocations: Vec<u32>,
}

/// One loadable segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: &'static str,
    pub(super) characteristics: u32,
    pub(super) address: u32,
    /// Bytes in memory; those beyond `bytes` are zero.
    pub(super) size: u32,
    pub(super) bytes: Vec<u8>,
}

impl Segment {
    fn end(&self) -> u64 {
        u64::from(self.address) + u64::from(self.size)
    }
}

/// Bytes that may be asked for any range.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn get(&self, offset: u64, len: u64) -> Option<&'a [u8]> {
        let start = usize::try_from(offset).ok()?;
        self.0.get(start..start.checked_add(usize::try_from(len).ok()?)?)
    }

    fn number(&self, offset: u64, len: u64) -> Option<u64> {
        let bytes = self.get(offset, len)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }
}

struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    memory_size: u64,
}

impl Stub {
    /// Reads a stub and applies its relocations for the image base 0.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, StubProblem> {
        let file = Bytes(bytes);
        // EI_CLASS 2 is 64 bits, EI_DATA 1 little-endian, EI_VERSION 1.
        if bytes.len() < 64 || bytes[..7] != *b"\x7fELF\x02\x01\x01" {
            return Err(StubProblem::NotElf);
        }
        let field = |offset, len| file.number(offset, len).ok_or(StubProblem::NotElf);
        let kind = field(16, 2)? as u16;
        let number = field(18, 2)? as u16;
        let machine = Machine::from_elf(number).ok_or(StubProblem::Machine(number))?;
        let entry = field(24, 8)?;
        let headers = program_headers(&file, field(32, 8)?, field(54, 2)?, field(56, 2)?)?;

        let mut segments = Vec::new();
        for header in headers.iter().filter(|h| h.kind == PT_LOAD && h.memory_size != 0) {
            segments.push(segment(&file, header)?);
        }
        segments.sort_by_key(|segment| segment.address);
        let mut end = pe::SECTION_ALIGNMENT;
        let mut seen = Vec::new();
        for segment in &segments {
            let address = u64::from(segment.address);
            if address < end || address % pe::SECTION_ALIGNMENT != 0 {
                return Err(StubProblem::Placement(address));
            }
            if seen.contains(&segment.name) {
                return Err(StubProblem::Duplicate(segment.name));
            }
            seen.push(segment.name);
            end = segment.end();
        }
        let in_code =
            |s: &&Segment| s.name == ".text" && (u64::from(s.address)..s.end()).contains(&entry);
        let entry = match segments.iter().find(in_code) {
            // In a segment, so below 4 GiB.
            Some(_) => entry as u32,
            None => return Err(StubProblem::Entry(entry)),
        };

        let dynamic = Dynamic::parse(&file, &headers)?;
        // ld calls a PIE whose first segment is not at 0 an ET_EXEC; the flag tells it apart.
        if kind != ET_DYN && !(kind == ET_EXEC && dynamic.pie) {
            return Err(StubProblem::NotPie);
        }
        let mut stub = Self { machine, entry, segments, relocations: Vec::new() };
        stub.relocate(&dynamic)?;
        Ok(stub)
    }

    fn relocate(&mut self, dynamic: &Dynamic) -> Result<(), StubProblem> {
        let relative = match self.machine {
            Machine::X86_64 => 8,
            Machine::Arm64 => 1027,
            Machine::Riscv64 => 3,
        };
        let outside = || StubProblem::Outside("relocation table");
        let table = match dynamic.rela {
            None => return Ok(()),
            Some((address, size)) => self
                .segments
                .iter()
                .find_map(|s| Bytes(&s.bytes).get(address.checked_sub(s.address.into())?, size))
                .ok_or_else(outside)?
                .to_vec(),
        };
        for entry in table.chunks(24) {
            let entry = Bytes(entry);
            let field = |offset| entry.number(offset, 8).ok_or_else(outside);
            let (offset, info, addend) = (field(0)?, field(8)?, field(16)?);
            let kind = info as u32;
            if kind != relative {
                return Err(StubProblem::Relocation { kind, offset });
            }
            let word = self
                .segments
                .iter_mut()
                .find_map(|s| {
                    let start = usize::try_from(offset.checked_sub(s.address.into())?).ok()?;
                    s.bytes.get_mut(start..start.checked_add(8)?)
                })
                .ok_or(StubProblem::Outside("relocated word"))?;
            word.copy_from_slice(&addend.to_le_bytes());
            // In a segment, so below 4 GiB.
            self.relocations.push(offset as u32);
        }
        self.relocations.sort_unstable();
        self.relocations.dedup();
        Ok(())
    }
}

fn program_headers(
    file: &Bytes<'_>,
    offset: u64,
    size: u64,
    count: u64,
) -> Result<Vec<ProgramHeader>, StubProblem> {
    let outside = || StubProblem::Outside("program header table");
    if size != 56 {
        return Err(StubProblem::NotElf);
    }
    let table = Bytes(file.get(offset, size * count).ok_or_else(outside)?);
    let mut headers = Vec::new();
    for index in 0..count {
        let field = |at, len| table.number(index * size + at, len).ok_or_else(outside);
        headers.push(ProgramHeader {
            kind: field(0, 4)? as u32,
            flags: field(4, 4)? as u32,
            offset: field(8, 8)?,
            address: field(16, 8)?,
            file_size: field(32, 8)?,
            memory_size: field(40, 8)?,
        });
    }
    Ok(headers)
}

fn segment(file: &Bytes<'_>, header: &ProgramHeader) -> Result<Segment, StubProblem> {
    let placement = || StubProblem::Placement(header.address);
    let bytes = file.get(header.offset, header.file_size).ok_or(StubProblem::Outside("segment"))?;
    let end = header.address.checked_add(header.memory_size).ok_or_else(placement)?;
    if header.file_size > header.memory_size || end > MAX_STUB {
        return Err(placement());
    }
    let (name, characteristics) = match (header.flags & PF_X != 0, header.flags & PF_W != 0) {
        (true, true) => return Err(StubProblem::WritableCode(header.address)),
        (true, false) => (".text", pe::CODE | pe::EXECUTE | pe::READ),
        (false, true) => (".data", pe::DATA | pe::READ | pe::WRITE),
        (false, false) => (".rodata", pe::DATA | pe::READ),
    };
    Ok(Segment {
        name,
        characteristics,
        // Both are below MAX_STUB.
        address: header.address as u32,
        size: header.memory_size as u32,
        bytes: bytes.to_vec(),
    })
}

/// What the dynamic section says of relocation.
#[derive(Default)]
struct Dynamic {
    pie: bool,
    rela: Option<(u64, u64)>,
}

impl Dynamic {
    fn parse(file: &Bytes<'_>, headers: &[ProgramHeader]) -> Result<Self, StubProblem> {
        let mut dynamic = Self::default();
        let Some(header) = headers.iter().find(|header| header.kind == PT_DYNAMIC) else {
            return Ok(dynamic);
        };
        let table = file
            .get(header.offset, header.file_size)
            .ok_or(StubProblem::Outside("dynamic section"))?;
        let (mut address, mut size) = (None, 0);
        for entry in table.chunks_exact(16) {
            let entry = Bytes(entry);
            let (Some(tag), Some(value)) = (entry.number(0, 8), entry.number(8, 8)) else { break };
            match tag {
                0 => break,
                DT_FLAGS_1 => dynamic.pie = value & DF_1_PIE != 0,
                DT_RELA => address = Some(value),
                DT_RELASZ => size = value,
                DT_REL | DT_RELR | DT_JMPREL => return Err(StubProblem::RelocationTable(tag)),
                _ => {}
            }
        }
        dynamic.rela = address.filter(|_| size != 0).map(|address| (address, size));
        Ok(dynamic)
    }
}
