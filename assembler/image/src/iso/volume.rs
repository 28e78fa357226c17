//! Volume descriptors.

use std::io;

use super::{BLOCK, Error, Layout, Params, SYSTEM, directory::Hierarchy};
use crate::{
    emit::Emitter,
    gpt::{self, SECTOR},
    time::Civil,
};

/// The type of a partition that holds a whole image: one that Windows does not look into, as
/// isohybrid has it.
const WHOLE_IMAGE: u8 = 0x17;

/// What the descriptors say besides where things lie.
pub(super) struct Descriptors {
    label: String,
    publisher: String,
    date: [u8; 17],
    boot_code: [u8; 440],
    hybrid_mbr: bool,
}

impl Descriptors {
    pub(super) fn new(params: &Params<'_>) -> Result<Self, Error> {
        text("volume id", &params.label, 1, 32)?;
        text("publisher", &params.publisher, 0, 128)?;
        let civil = Civil::new(params.epoch);
        if !(1..=9999).contains(&civil.year) {
            return Err(Error::Epoch { epoch: params.epoch });
        }
        let Civil { year, month, day, hour, minute, second } = civil;
        let digits = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}00");
        // The last byte is the offset from UTC.
        let mut date = [0; 17];
        date[..16].copy_from_slice(digits.as_bytes());
        Ok(Self {
            label: params.label.clone(),
            publisher: params.publisher.clone(),
            date,
            boot_code: params.boot_code,
            hybrid_mbr: params.hybrid_mbr,
        })
    }

    /// The first sector of an image of `total` blocks that has no partition table of its own.
    pub(super) fn first_sector(&self, total: u64) -> [u8; 512] {
        let mut sector = [0; 512];
        sector[..440].copy_from_slice(&self.boot_code);
        if self.hybrid_mbr {
            let sectors = u32::try_from(total * (BLOCK / SECTOR)).unwrap_or(u32::MAX);
            gpt::mbr_record(&mut sector[446..462], (0x80, WHOLE_IMAGE, 0, sectors));
            sector[510..].copy_from_slice(&[0x55, 0xaa]);
        }
        sector
    }

    /// Writes the primary descriptor, El Torito's, Joliet's and the terminator.
    pub(super) fn emit(&self, out: &mut Emitter<'_>, layout: &Layout<'_>) -> io::Result<()> {
        debug_assert_eq!(out.position(), SYSTEM * BLOCK);
        out.put(&self.volume(layout, &layout.primary, false))?;
        if layout.plan.catalogue != 0 {
            let mut block = head(0);
            block[7..30].copy_from_slice(b"EL TORITO SPECIFICATION");
            block[71..75].copy_from_slice(&(layout.plan.catalogue as u32).to_le_bytes());
            out.put(&block)?;
        }
        if let Some(joliet) = &layout.joliet {
            out.put(&self.volume(layout, joliet, true))?;
        }
        out.put(&head(255))
    }

    fn volume(&self, layout: &Layout<'_>, hierarchy: &Hierarchy, joliet: bool) -> Vec<u8> {
        let mut block = head(if joliet { 2 } else { 1 });
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        let mut field = |at: usize, len: usize, text: &str| put(at, &padded(text, len, joliet));
        field(8, 32, if joliet { "" } else { "LINUX" });
        field(40, 32, &self.label);
        field(190, 128, "");
        field(318, 128, &self.publisher);
        field(446, 128, "");
        field(574, 128, "STAGEX");
        field(702, 37, "");
        field(739, 37, "");
        field(776, 37, "");
        put(80, &both32(layout.plan.total as u32));
        if joliet {
            // UCS-2 level 3.
            put(88, b"%/E");
        }
        put(120, &both16(1));
        put(124, &both16(1));
        put(128, &both16(BLOCK as u16));
        put(132, &both32(hierarchy.table_len as u32));
        put(140, &(hierarchy.table_little as u32).to_le_bytes());
        put(148, &(hierarchy.table_big as u32).to_be_bytes());
        put(156, &hierarchy.root_record(&layout.index));
        put(813, &self.date);
        put(830, &self.date);
        // Never expires; effective at once.
        for at in [847, 864] {
            put(at, b"0000000000000000\0");
        }
        put(881, &[1]);
        block
    }
}

fn text(field: &'static str, text: &str, least: usize, most: usize) -> Result<(), Error> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if printable && (least..=most).contains(&text.len()) {
        return Ok(());
    }
    Err(Error::Text { field, text: text.to_owned(), least, most })
}

fn head(kind: u8) -> Vec<u8> {
    let mut block = vec![0; BLOCK as usize];
    block[0] = kind;
    block[1..6].copy_from_slice(b"CD001");
    block[6] = 1;
    block
}

/// `text` filled with spaces to `len` bytes, in UCS-2 for Joliet.
fn padded(text: &str, len: usize, joliet: bool) -> Vec<u8> {
    let chars = text.bytes().chain(std::iter::repeat(b' '));
    if !joliet {
        return chars.take(len).collect();
    }
    let mut bytes: Vec<u8> = chars.take(len / 2).flat_map(|char| [0, char]).collect();
    bytes.resize(len, 0);
    bytes
}

/// A number in both byte orders (ECMA-119 7.2.3).
pub(super) fn both16(value: u16) -> [u8; 4] {
    let ([a, b], [c, d]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d]
}

/// A number in both byte orders (ECMA-119 7.3.3).
pub(super) fn both32(value: u32) -> [u8; 8] {
    let ([a, b, c, d], [e, f, g, h]) = (value.to_le_bytes(), value.to_be_bytes());
    [a, b, c, d, e, f, g, h]
}
