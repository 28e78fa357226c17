//! A PE image that is ready to be written: its headers, what follows them, and a signature.

use std::io::{self, Read, Write};

use stagex_tree::{Content, Digest, DigestWriter};

use super::{
    Certificates, Machine, PeError, SignError, Signer,
    pe::{self, Checksum},
    read::{self, parse_head},
    sign,
};
use crate::Image;

/// A checked and laid out image, ready to be written.
#[derive(Debug)]
pub struct Plan {
    machine: Machine,
    headers: Vec<u8>,
    /// Where in the headers the PE header begins.
    pe_header: usize,
    /// What follows the headers, each with how many zeros come behind it.
    parts: Vec<(Content, u64)>,
    /// The certificate table, which comes last.
    table: Vec<u8>,
    len: u64,
}

impl Plan {
    /// An unsigned image; reads it once, for the checksum.
    pub(super) fn new(
        machine: Machine,
        headers: Vec<u8>,
        pe_header: usize,
        parts: Vec<(Content, u64)>,
    ) -> io::Result<Self> {
        let mut plan = Self { machine, headers, pe_header, parts, table: Vec::new(), len: 0 };
        plan.set_table(Vec::new())?;
        Ok(plan)
    }

    /// An image that exists, such as a kernel or another tool's, without its signature if it has
    /// one. What this writes is that image as it was before it was signed, if it had a checksum.
    pub fn read(image: &Content) -> Result<Self, PeError> {
        let mut head = Vec::new();
        image.open()?.take(read::MAX_HEADERS).read_to_end(&mut head)?;
        let parsed = parse_head(&head, image.len())?;
        let field =
            |offset: usize, size| read::get(&head, offset as u64, size).ok_or(PeError::Truncated);
        // Both were read before: they are within the headers.
        let pe_header = field(0x3c, 4)? as usize;
        let headers_len = field(pe_header + pe::COFF_HEADER + 60, 4)?;
        let place = pe_header + pe::CERTIFICATES;
        if field(pe_header + pe::COFF_HEADER + 108, 4)? <= 4 {
            return Err(PeError::Certificates);
        }
        let (at, size) = (field(place, 4)?, field(place + 4, 4)?);
        let end = match (at, size) {
            (0, 0) => image.len(),
            _ if at + size == image.len() && at >= headers_len && at % 8 == 0 => at,
            _ => return Err(PeError::Certificates),
        };
        let headers_end = usize::try_from(headers_len).unwrap_or(usize::MAX);
        let headers = head.get(..headers_end).ok_or(PeError::Truncated)?.to_vec();
        if headers.len() < place + 8 {
            return Err(PeError::Truncated);
        }
        check_contiguous(&head, &parsed, headers_len)?;
        let rest = read::slice(image, headers_len, end - headers_len)?;
        // A certificate table begins on a multiple of 8.
        let padding = end.next_multiple_of(8) - end;
        Ok(Self::new(parsed.machine, headers, pe_header, vec![(rest, padding)])?)
    }

    /// The machine that the image is for.
    pub fn machine(&self) -> Machine {
        self.machine
    }

    /// The Authenticode hash: of all but the checksum, the certificate table and its place. This is
    /// what firmware looks for in its lists of images, and what a TPM is extended with.
    pub fn hash(&self) -> io::Result<Digest> {
        let mut hasher = DigestWriter::new(io::sink());
        let (checksum, place) = (self.pe_header + pe::CHECKSUM, self.pe_header + pe::CERTIFICATES);
        hasher.write_all(&self.headers[..checksum])?;
        hasher.write_all(&self.headers[checksum + 4..place])?;
        hasher.write_all(&self.headers[place + 8..])?;
        self.parts.iter().try_for_each(|part| write_part(part, &mut hasher))?;
        Ok(hasher.finish().1)
    }

    /// Whether the image carries a signature.
    pub fn is_signed(&self) -> bool {
        !self.table.is_empty()
    }

    /// The same image signed, in place of a signature that it has.
    pub fn sign(
        mut self,
        certificates: &Certificates,
        signer: &dyn Signer,
    ) -> Result<Self, SignError> {
        self.table.clear();
        let table = sign::table(&self.hash()?, certificates, signer)?;
        self.set_table(table)?;
        Ok(self)
    }

    /// Puts a certificate table at the end, or takes it away, and makes the headers say so.
    fn set_table(&mut self, table: Vec<u8>) -> io::Result<()> {
        let parts = self.parts.iter().map(|(content, padding)| content.len() + padding);
        let unsigned = self.headers.len() as u64 + parts.sum::<u64>();
        self.len = unsigned + table.len() as u64;
        let too_large = || io::Error::other("a PE image ends at 4 GiB");
        let end = u32::try_from(self.len).map_err(|_| too_large())?;
        let len = table.len() as u32;
        let at = if table.is_empty() { 0 } else { end - len };
        let place = self.pe_header + pe::CERTIFICATES;
        self.headers[place..][..4].copy_from_slice(&at.to_le_bytes());
        self.headers[place + 4..][..4].copy_from_slice(&len.to_le_bytes());
        self.table = table;
        let field = self.pe_header + pe::CHECKSUM;
        self.headers[field..][..4].fill(0);
        let mut checksum = Checksum::default();
        Image::write(self, &mut checksum)?;
        self.headers[field..][..4].copy_from_slice(&checksum.finish().to_le_bytes());
        Ok(())
    }
}

impl Image for Plan {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(&self.headers)?;
        self.parts.iter().try_for_each(|part| write_part(part, out))?;
        out.write_all(&self.table)
    }
}

fn write_part((part, padding): &(Content, u64), out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    const ZEROS: [u8; pe::FILE_ALIGNMENT as usize] = [0; pe::FILE_ALIGNMENT as usize];
    part.copy_to(out)?;
    // There are fewer than a sector's.
    out.write_all(&ZEROS[..*padding as usize])
}

/// Checks that headers and sections follow one another with nothing between them: some hash an
/// image section by section, and some as a whole.
fn check_contiguous(head: &[u8], image: &super::PeImage, headers: u64) -> Result<(), PeError> {
    let mut spans = Vec::new();
    let header = read::get(head, 0x3c, 4).ok_or(PeError::Truncated)?;
    let table = header
        + pe::COFF_HEADER as u64
        + read::get(head, header + 20, 2).ok_or(PeError::Truncated)?;
    for index in 0..image.sections.len() as u64 {
        let at = table + index * pe::SECTION_HEADER as u64;
        let raw = read::get(head, at + 16, 4).ok_or(PeError::Truncated)?;
        let offset = read::get(head, at + 20, 4).ok_or(PeError::Truncated)?;
        if raw != 0 {
            spans.push((offset, raw));
        }
    }
    spans.sort_unstable();
    let mut end = headers;
    for (offset, len) in spans {
        if offset != end {
            return Err(PeError::Gap { from: end, to: offset });
        }
        end = offset + len;
    }
    Ok(())
}
