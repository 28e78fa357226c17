//! The system use fields of Rock Ridge.

use crate::{bytes::Bytes, error::Result, values::le};

use super::{SECTOR, record, seconds, too_long};

/// How many continuation areas one record may have.
const MAX_CONTINUATIONS: u64 = 64;
/// The most bytes of a name or of a link's target.
const MAX_TEXT: usize = 4096;

/// What Rock Ridge says of an entry.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) mode: Option<u32>,
    pub(super) links: Option<u32>,
    pub(super) owner: Option<(u32, u32)>,
    pub(super) device: Option<(u32, u32)>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) target: Option<Vec<u8>>,
    pub(super) mtime: Option<i64>,
    /// The sector of a folder that had to be moved.
    pub(super) child: Option<u64>,
    /// Whether this is where a folder was moved to.
    pub(super) relocated: bool,
}

/// How many bytes to skip before the fields, if the root folder says that there are any.
pub(super) fn skip(root: &Bytes) -> Result<Option<usize>> {
    let len = root.array::<1>(0)?[0] as usize;
    let own = record(&root.vec(0, len.max(34))?)?;
    let field = own.system_use.get(..7);
    let found = field.filter(|field| field.starts_with(b"SP") && field[4..6] == [0xbe, 0xef]);
    Ok(found.map(|field| field[6].into()))
}

/// Reads the fields of a record and those it continues with elsewhere.
pub(super) fn read(image: &Bytes, system_use: &[u8], skip: usize) -> Result<Extra> {
    let mut extra = Extra::default();
    let mut area = system_use.get(skip..).unwrap_or(&[]).to_vec();
    // A link's target in parts: whether the last one goes on in the next.
    let mut goes_on = false;
    for _ in 0..MAX_CONTINUATIONS {
        let mut next = None;
        let mut rest = &area[..];
        while rest.len() >= 4 {
            let len = usize::from(rest[2]);
            let Some(field) = rest.get(..len).filter(|_| len >= 4) else { break };
            rest = &rest[len..];
            match &field[..2] {
                b"PX" => {
                    extra.mode = Some(le(field, 4, 4) as u32);
                    extra.links = Some(le(field, 12, 4) as u32);
                    extra.owner = Some((le(field, 20, 4) as u32, le(field, 28, 4) as u32));
                }
                b"PN" => {
                    let (high, low) = (le(field, 4, 4), le(field, 12, 4));
                    extra.device = Some(device(high, low));
                }
                b"NM" if len >= 5 && field[4] & 6 == 0 => {
                    let name = extra.name.get_or_insert_with(Vec::new);
                    name.extend_from_slice(&field[5..]);
                    if name.len() > MAX_TEXT {
                        return Err(too_long("bytes of a name", MAX_TEXT as u64));
                    }
                }
                b"SL" if len >= 5 => {
                    let target = extra.target.get_or_insert_with(Vec::new);
                    link(target, &field[5..], &mut goes_on);
                    if target.len() > MAX_TEXT {
                        return Err(too_long("bytes of a link", MAX_TEXT as u64));
                    }
                }
                b"TF" if len >= 5 => extra.mtime = mtime(field).or(extra.mtime),
                b"CL" => extra.child = Some(le(field, 4, 4)),
                b"RE" => extra.relocated = true,
                b"CE" => next = Some((le(field, 4, 4), le(field, 12, 4), le(field, 20, 4))),
                b"ST" => break,
                _ => {}
            }
        }
        let Some((sector, offset, len)) = next else { return Ok(extra) };
        if len > SECTOR {
            return Err(too_long("bytes of a continuation", SECTOR));
        }
        area = image.vec(sector * SECTOR + offset, len as usize)?;
    }
    Err(too_long("continuations of a record", MAX_CONTINUATIONS))
}

/// A device's numbers: in two halves, or packed in the lower one.
fn device(high: u64, low: u64) -> (u32, u32) {
    if high != 0 || low < 256 {
        return (high as u32, low as u32);
    }
    let major = low >> 8 & 0xfff;
    let minor = low & 0xff | low >> 12 & 0xf_ff00;
    (major as u32, minor as u32)
}

/// Adds the components of a field to a link's target.
fn link(target: &mut Vec<u8>, mut rest: &[u8], goes_on: &mut bool) {
    while let [flags, len, tail @ ..] = rest {
        let len = usize::from(*len).min(tail.len());
        if !target.is_empty() && !*goes_on && target.last() != Some(&b'/') {
            target.push(b'/');
        }
        match flags & 0x0e {
            2 => target.push(b'.'),
            4 => target.extend_from_slice(b".."),
            8 => target.push(b'/'),
            _ => target.extend_from_slice(&tail[..len]),
        }
        *goes_on = flags & 1 != 0;
        rest = &tail[len..];
    }
}

/// The time of modification of a TF field.
fn mtime(field: &[u8]) -> Option<i64> {
    let flags = field[4];
    // Long form times are seventeen bytes of digits, which nobody writes.
    if flags & 0x80 != 0 || flags & 2 == 0 {
        return None;
    }
    let at = 5 + usize::from(flags & 1) * 7;
    field.get(at..at + 7)?.try_into().ok().map(|time: [u8; 7]| seconds(&time))
}
