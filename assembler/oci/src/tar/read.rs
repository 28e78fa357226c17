//! Reads tar headers: ustar, pax, GNU and the seventh edition's.
//!
//! Nothing a header says is believed beyond what was checked: sizes are never allocated ahead,
//! names have a limit, and every number has its range.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    ops::Range,
};

use stagex_tree::Device;

use super::{BLOCK, Limits, TarError, field};

/// The most bytes that one long name, or one pax header with all its attributes, may have.
const HEADER_MAX: u64 = 4 << 20;

/// What a tar entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file; its content follows.
    File,
    /// A further name of an earlier entry.
    Link,
    /// A symbolic link.
    Symlink,
    /// A character device node.
    CharDevice(Device),
    /// A block device node.
    BlockDevice(Device),
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
}

/// One entry as its headers describe it, unchecked but for its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The path as written.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits, `0o7777` at most.
    pub mode: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Length of the content, in bytes; 0 for all but regular files.
    pub size: u64,
    /// Modification time, whole seconds since 1970.
    pub mtime: i64,
    /// The target of a link, as written.
    pub link: Vec<u8>,
    /// Extended attributes by full name.
    pub xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

/// Reads a tar entry by entry, in one forward sweep.
///
/// Between two calls of [`Reader::next_header`] it is itself the reader of the entry's content.
pub struct Reader<R> {
    inner: R,
    limits: Limits,
    /// Bytes taken from `inner`.
    offset: u64,
    /// Content of the current entry that was not read yet.
    left: u64,
    /// What follows that content up to the next block.
    padding: u64,
    content: u64,
    entries: u64,
    global: Pax,
    done: bool,
}

/// The pax records that matter.
#[derive(Debug, Clone, Default)]
struct Pax {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    mtime: Option<i64>,
    uid: Option<u32>,
    gid: Option<u32>,
    xattrs: BTreeMap<Box<[u8]>, Box<[u8]>>,
    sparse: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the tar that `inner` gives.
    pub fn new(inner: R, limits: Limits) -> Self {
        Self {
            inner,
            limits,
            offset: 0,
            left: 0,
            padding: 0,
            content: 0,
            entries: 0,
            global: Pax::default(),
            done: false,
        }
    }

    /// Bytes read so far. Before an entry's content is read, this is where it begins.
    pub fn position(&self) -> u64 {
        self.offset
    }

    /// The wrapped reader, just behind the end marker once that was met.
    pub fn into_inner(self) -> R {
        self.inner
    }

    /// The next entry; `None` at the end marker. Content that was not read is passed over.
    pub fn next_header(&mut self) -> Result<Option<Header>, TarError> {
        if self.done {
            return Ok(None);
        }
        self.skip_content()?;
        let mut long_path = None;
        let mut long_link = None;
        let mut pax = self.global.clone();
        loop {
            let at = self.offset;
            let Some(block) = self.block()? else {
                self.done = true;
                return Ok(None);
            };
            check_sum(&block, at)?;
            match block[field::TYPE] {
                b'L' => long_path = Some(self.long_name(&block, at)?),
                b'K' => long_link = Some(self.long_name(&block, at)?),
                b'x' | b'X' => {
                    let records = self.records(&block, at)?;
                    pax.parse(&records, at)?;
                }
                b'g' => {
                    let records = self.records(&block, at)?;
                    self.global.parse(&records, at)?;
                    pax.parse(&records, at)?;
                }
                // A volume label names the archive, not a file.
                b'V' => {}
                _ => {
                    let header = self.header(&block, at, pax, long_path, long_link)?;
                    return Ok(Some(header));
                }
            }
        }
    }

    fn header(
        &mut self,
        block: &[u8; BLOCK],
        at: u64,
        pax: Pax,
        long_path: Option<Vec<u8>>,
        long_link: Option<Vec<u8>>,
    ) -> Result<Header, TarError> {
        let path = pax.path.or(long_path).unwrap_or_else(|| plain_path(block));
        let shown = || String::from_utf8_lossy(&path[..path.len().min(4096)]).into_owned();
        let unsupported =
            |kind: u8, hint| TarError::Unsupported { path: shown(), kind: char::from(kind), hint };
        if pax.sparse {
            return Err(unsupported(
                block[field::TYPE],
                ": it is sparse; write it without --sparse",
            ));
        }
        let device = || -> Result<Device, TarError> {
            Ok(Device {
                major: small(block, field::MAJOR, at, "device number")?,
                minor: small(block, field::MINOR, at, "device number")?,
            })
        };
        let kind = match block[field::TYPE] {
            // Before there was a type for directories, a slash marked them.
            0 | b'0' if path.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' => EntryKind::File,
            b'1' => EntryKind::Link,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice(device()?),
            b'4' => EntryKind::BlockDevice(device()?),
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            b'S' => return Err(unsupported(b'S', ": it is sparse; write it without --sparse")),
            b'M' => return Err(unsupported(b'M', ": it continues another volume")),
            kind => return Err(unsupported(kind, "")),
        };
        let declared = match pax.size {
            Some(size) => size,
            None => number(block, field::SIZE, at, "size")?,
        };
        let size = if kind == EntryKind::File { declared } else { 0 };
        let mode = number(block, field::MODE, at, "mode")? & 0o7777;
        let uid = match pax.uid {
            Some(uid) => uid,
            None => small(block, field::UID, at, "owner")?,
        };
        let gid = match pax.gid {
            Some(gid) => gid,
            None => small(block, field::GID, at, "group")?,
        };
        let mtime = match pax.mtime {
            Some(mtime) => mtime,
            None => time(block, at)?,
        };
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(TarError::TooMany { limit: self.limits.entries });
        }
        self.content = self.content.saturating_add(size);
        if self.content > self.limits.bytes {
            let (size, limit) = (self.content, self.limits.bytes);
            return Err(TarError::TooLarge { path: shown(), size, limit });
        }
        self.begin(size);
        Ok(Header {
            kind,
            mode: mode as u16,
            uid,
            gid,
            size,
            mtime,
            link: pax.link.or(long_link).unwrap_or_else(|| until_nul(&block[field::LINK]).to_vec()),
            xattrs: pax.xattrs,
            path,
        })
    }

    fn begin(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn skip_content(&mut self) -> Result<(), TarError> {
        let mut left = u128::from(self.left) + u128::from(self.padding);
        (self.left, self.padding) = (0, 0);
        let mut buffer = [0; 1 << 14];
        while left != 0 {
            let want = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            self.exact(&mut buffer[..want])?;
            left -= want as u128;
        }
        Ok(())
    }

    fn exact(&mut self, buffer: &mut [u8]) -> Result<(), TarError> {
        match self.fill(buffer)? {
            n if n == buffer.len() => Ok(()),
            _ => Err(TarError::Truncated { offset: self.offset }),
        }
    }

    /// Reads until `buffer` is full or the input ends.
    fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, TarError> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.inner.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(TarError::io("reading a tar")(error)),
            }
        }
        self.offset += filled as u64;
        Ok(filled)
    }

    /// The next block that is not zero; `None` at the end marker, two zero blocks, of which
    /// some writers leave the second out.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, TarError> {
        let mut block = [0; BLOCK];
        self.exact(&mut block)?;
        if block.iter().any(|&byte| byte != 0) {
            return Ok(Some(block));
        }
        match self.fill(&mut block)? {
            0 => Ok(None),
            BLOCK if block.iter().all(|&byte| byte == 0) => Ok(None),
            BLOCK => Ok(Some(block)),
            _ => Err(TarError::Truncated { offset: self.offset }),
        }
    }

    /// The content of a header that is about another: bounded, and grown as it arrives.
    fn records(&mut self, block: &[u8; BLOCK], at: u64) -> Result<Vec<u8>, TarError> {
        let size = number(block, field::SIZE, at, "size")?;
        if size > HEADER_MAX {
            return Err(TarError::HeaderTooLong { offset: at, size, limit: HEADER_MAX });
        }
        self.begin(size);
        let mut bytes = Vec::new();
        (&mut *self).take(size).read_to_end(&mut bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Truncated { offset: at },
            _ => TarError::io("reading a tar")(error),
        })?;
        self.skip_content()?;
        Ok(bytes)
    }

    fn long_name(&mut self, block: &[u8; BLOCK], at: u64) -> Result<Vec<u8>, TarError> {
        Ok(until_nul(&self.records(block, at)?).to_vec())
    }
}

impl<R: Read> Read for Reader<R> {
    /// Reads the current entry's content; an input that ends early is an error of kind
    /// [`io::ErrorKind::UnexpectedEof`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let want = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if want == 0 {
            return Ok(0);
        }
        let n = self.inner.read(&mut buffer[..want])?;
        if n == 0 {
            let error = TarError::Truncated { offset: self.offset };
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, error));
        }
        self.offset += n as u64;
        self.left -= n as u64;
        Ok(n)
    }
}

impl Pax {
    fn parse(&mut self, mut records: &[u8], at: u64) -> Result<(), TarError> {
        let bad = || TarError::Pax { offset: at };
        while !records.is_empty() {
            let space = records.iter().take(20).position(|&b| b == b' ').ok_or_else(bad)?;
            let length = decimal(&records[..space]).ok_or_else(bad)?;
            let length = usize::try_from(length).map_err(|_| bad())?;
            let record = records.get(space + 1..length).ok_or_else(bad)?;
            let [record @ .., b'\n'] = record else { return Err(bad()) };
            let equals = record.iter().position(|&b| b == b'=').ok_or_else(bad)?;
            self.record(&record[..equals], &record[equals + 1..], at)?;
            records = &records[length..];
        }
        Ok(())
    }

    fn record(&mut self, key: &[u8], value: &[u8], at: u64) -> Result<(), TarError> {
        let whole = |field| {
            if value.is_empty() {
                return Ok(None);
            }
            decimal(value).map(Some).ok_or(TarError::Number { offset: at, field })
        };
        let small = |field| {
            let bad = |_| TarError::Number { offset: at, field };
            whole(field)?.map(u32::try_from).transpose().map_err(bad)
        };
        let text = || (!value.is_empty()).then(|| value.to_vec());
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = whole("size")?,
            b"mtime" => {
                let bad = TarError::Number { offset: at, field: "time" };
                self.mtime = text().map(|text| whole_seconds(&text).ok_or(bad)).transpose()?;
            }
            b"uid" => self.uid = small("owner")?,
            b"gid" => self.gid = small("group")?,
            _ if key.starts_with(b"GNU.sparse.") => self.sparse = true,
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    self.xattrs.insert(name.into(), value.into());
                }
            }
        }
        Ok(())
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok())?
}

/// The seconds of a pax time, which may have a sign and a fraction, rounded down.
fn whole_seconds(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = match digits.iter().position(|&byte| byte == b'.') {
        Some(dot) => (&digits[..dot], &digits[dot + 1..]),
        None => (digits, &b""[..]),
    };
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = i64::try_from(decimal(whole)?).ok()?;
    let beyond = negative && fraction.iter().any(|&digit| digit != b'0');
    Some(if negative { -seconds - i64::from(beyond) } else { seconds })
}

fn until_nul(bytes: &[u8]) -> &[u8] {
    bytes.split(|&b| b == 0).next().unwrap_or_default()
}

/// The path of a header by itself. The prefix counts only under POSIX's magic: GNU has other
/// things there.
fn plain_path(block: &[u8; BLOCK]) -> Vec<u8> {
    let name = until_nul(&block[field::NAME]);
    let prefix = until_nul(&block[field::PREFIX]);
    if prefix.is_empty() || !block[field::MAGIC].starts_with(b"ustar\0") {
        return name.to_vec();
    }
    [prefix, b"/", name].concat()
}

fn check_sum(block: &[u8; BLOCK], at: u64) -> Result<(), TarError> {
    let mut unsigned = 0;
    // Some early writers summed signed bytes.
    let mut signed = 0;
    for (index, &byte) in block.iter().enumerate() {
        let byte = if field::CHECKSUM.contains(&index) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte as i8);
    }
    match number(block, field::CHECKSUM, at, "checksum").map(i64::try_from) {
        Ok(Ok(sum)) if sum == unsigned || sum == signed => Ok(()),
        _ => Err(TarError::Checksum { offset: at }),
    }
}

/// A number: octal digits, or GNU's base 256 where the first bit is set. An empty field is 0.
fn number(
    block: &[u8; BLOCK],
    range: Range<usize>,
    at: u64,
    field: &'static str,
) -> Result<u64, TarError> {
    let bad = || TarError::Number { offset: at, field };
    let bytes = &block[range];
    if bytes[0] & 0x80 != 0 {
        if bytes[0] & 0x40 != 0 {
            return Err(bad());
        }
        return bytes
            .iter()
            .enumerate()
            .try_fold(0_u64, |value, (index, &byte)| {
                let byte = if index == 0 { byte & 0x3f } else { byte };
                Some(value.checked_mul(256)? | u64::from(byte))
            })
            .ok_or_else(bad);
    }
    let digits = until_nul(bytes).trim_ascii();
    digits
        .iter()
        .try_fold(0_u64, |value, &digit| match digit {
            b'0'..=b'7' => Some(value.checked_mul(8)? | u64::from(digit - b'0')),
            _ => None,
        })
        .ok_or_else(bad)
}

/// The modification time: a number that GNU's base 256 can also make negative.
fn time(block: &[u8; BLOCK], at: u64) -> Result<i64, TarError> {
    let bytes = &block[field::MTIME];
    if bytes[0] == 0xff {
        // Two's complement over the whole field.
        let (high, low) = bytes.split_at(bytes.len() - 8);
        let value = low.iter().fold(0_u64, |value, &byte| value << 8 | u64::from(byte)) as i64;
        if value < 0 && high.iter().all(|&byte| byte == 0xff) {
            return Ok(value);
        }
    }
    let value = number(block, field::MTIME, at, "time")?;
    i64::try_from(value).map_err(|_| TarError::Number { offset: at, field: "time" })
}

fn small(
    block: &[u8; BLOCK],
    range: Range<usize>,
    at: u64,
    field: &'static str,
) -> Result<u32, TarError> {
    let value = number(block, range, at, field)?;
    u32::try_from(value).map_err(|_| TarError::Number { offset: at, field })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_whole_seconds_rounded_down() {
        for (text, seconds) in [
            ("0", Some(0)),
            ("1700000000.999999999", Some(1_700_000_000)),
            ("-1", Some(-1)),
            ("-1.5", Some(-2)),
            ("-0.000", Some(0)),
            ("9223372036854775807", Some(i64::MAX)),
            ("9223372036854775808", None),
            ("1e9", None),
            ("", None),
            ("--1", None),
            ("1.2.3", None),
        ] {
            assert_eq!(whole_seconds(text.as_bytes()), seconds, "{text}");
        }
    }
}
