//! Enclave images (EIF, version 4), which AWS Nitro Enclaves boot.
//!
//! Follows the format of AWS's `aws-nitro-enclaves-image-format` 0.8, byte for byte: a header of
//! 548 bytes, then the sections kernel, command line, metadata, ramdisks and signature, each behind
//! a header of 12 bytes, all numbers big-endian. The header's CRC-32 is over all other bytes.
//!
//! Three registers measure what boots, each as SHA-384 of 48 zeros and the SHA-384 of the parts
//! themselves: PCR0 kernel, command line and all ramdisks, PCR1 the same up to the first ramdisk,
//! PCR2 the further ramdisks. PCR8 measures the signing certificate (DER), if there is one. Neither
//! the metadata nor the signature is measured. Nothing in an image is taken from a clock.

mod cbor;
mod error;
mod metadata;
mod pcr;
mod sign;

use std::io::{self, Write};

use sha2::{Digest as _, Sha384};

use crate::{Image, emit::Emitter};

pub use self::{
    error::{Error, SignError},
    metadata::Metadata,
    pcr::{Pcr, Pcrs},
    sign::Signer,
};

const MAGIC: &[u8; 4] = b".eif";
const VERSION: u16 = 4;
/// Bytes of the file's header.
const HEADER: u64 = 548;
/// Bytes of a section's header.
const SECTION_HEADER: u64 = 12;
/// How many sections the header has room for.
const SECTIONS_MAX: usize = 32;
/// In the header's flags.
const FLAG_AARCH64: u16 = 1;
/// The most that Linux takes on both architectures, less the NUL.
const CMDLINE_MAX: usize = 2047;
/// What of the kernel is looked at.
const KERNEL_HEAD: usize = 0x206;

/// What an enclave runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Its kernel is a bzImage.
    X86_64,
    /// Its kernel is an uncompressed Image.
    Aarch64,
}

impl Architecture {
    /// Whether a kernel that begins with `head` is one that Nitro boots.
    fn accepts(self, head: &[u8]) -> bool {
        let (at, magic): (usize, &[u8]) = match self {
            // Linux's Documentation/arch/x86/boot.rst.
            Self::X86_64 => (0x202, b"HdrS"),
            // Linux's Documentation/arch/arm64/booting.rst.
            Self::Aarch64 => (0x38, b"ARM\x64"),
        };
        head.get(at..at + magic.len()) == Some(magic)
    }

    /// What its kernel must be.
    pub(crate) fn kernel(self) -> &'static str {
        match self {
            Self::X86_64 => "a bzImage of x86_64",
            Self::Aarch64 => "an uncompressed Image of arm64",
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Kernel = 1,
    Cmdline = 2,
    Ramdisk = 3,
    Signature = 4,
    Metadata = 5,
}

/// What an enclave image is made of.
pub struct Eif<'a> {
    /// What it runs on.
    pub architecture: Architecture,
    /// The kernel.
    pub kernel: &'a dyn Image,
    /// The kernel's command line.
    pub cmdline: String,
    /// At least one: the first is measured in PCR1, the others in PCR2.
    pub ramdisks: Vec<&'a dyn Image>,
    /// What the image says of itself.
    pub metadata: Metadata,
    /// Bytes of memory that the enclave gets where its starter does not say.
    pub memory: u64,
    /// Processors that it gets where its starter does not say.
    pub cpus: u64,
    /// Who signs it.
    pub signer: Option<&'a Signer>,
}

impl<'a> Eif<'a> {
    /// An unsigned image for 1 GiB of memory and two processors, as AWS's own tool makes it.
    pub fn new(
        architecture: Architecture,
        kernel: &'a dyn Image,
        cmdline: impl Into<String>,
        ramdisks: Vec<&'a dyn Image>,
        metadata: Metadata,
    ) -> Self {
        let (cmdline, memory, cpus) = (cmdline.into(), 1 << 30, 2);
        Self { architecture, kernel, cmdline, ramdisks, metadata, memory, cpus, signer: None }
    }

    /// Checks all parts, measures them and lays them out. Reads kernel and ramdisks once.
    pub fn plan(&self) -> Result<Plan<'a>, Error> {
        if let Some(offset) = self.cmdline.bytes().position(|byte| byte == 0) {
            return Err(Error::CmdlineNul { offset });
        }
        let len = self.cmdline.len();
        if len > CMDLINE_MAX {
            return Err(Error::CmdlineTooLong { len, max: CMDLINE_MAX });
        }
        if self.ramdisks.is_empty() {
            return Err(Error::NoRamdisk);
        }
        let sections = 3 + self.ramdisks.len() + usize::from(self.signer.is_some());
        if sections > SECTIONS_MAX {
            let max = SECTIONS_MAX - (sections - self.ramdisks.len());
            return Err(Error::TooManyRamdisks { count: self.ramdisks.len(), max });
        }
        let metadata = self.metadata.to_json()?.into_bytes();
        let mut parts = vec![
            Part::new(Kind::Kernel, Body::Image(self.kernel)),
            Part::new(Kind::Cmdline, Body::Bytes(self.cmdline.clone().into_bytes())),
            Part::new(Kind::Metadata, Body::Bytes(metadata)),
        ];
        parts.extend(
            self.ramdisks.iter().map(|&image| Part::new(Kind::Ramdisk, Body::Image(image))),
        );

        let (pcrs, mut crc) = self.measure(&parts)?;
        if let Some(signer) = self.signer {
            let part = Part::new(Kind::Signature, Body::Bytes(signer.section(&pcrs.pcr0)));
            crc.update(&part.header());
            if let Body::Bytes(bytes) = &part.body {
                crc.update(bytes);
            }
            parts.push(part);
        }
        let mut header = self.header(&parts)?;
        let mut whole = crc32fast::Hasher::new();
        whole.update(&header);
        whole.combine(&crc);
        header.extend_from_slice(&whole.finalize().to_be_bytes());
        let len = parts.iter().map(|part| SECTION_HEADER + part.len()).sum::<u64>() + HEADER;
        Ok(Plan { header, parts, pcrs, len })
    }

    /// Reads all parts: the registers, and the checksum of all sections.
    fn measure(&self, parts: &[Part<'_>]) -> Result<(Pcrs, crc32fast::Hasher), Error> {
        let mut crc = crc32fast::Hasher::new();
        let (mut boot, mut first, mut further) = (Sha384::new(), None, Sha384::new());
        let mut ramdisks = 0;
        for part in parts {
            let measured = match (part.kind, ramdisks) {
                (Kind::Metadata | Kind::Signature, _) => Measured::NotAtAll,
                (Kind::Ramdisk, 1..) => Measured::Further,
                _ => Measured::Boot,
            };
            crc.update(&part.header());
            let mut meter = Meter {
                crc,
                boot: (measured != Measured::NotAtAll).then_some(boot.clone()),
                further: (measured == Measured::Further).then_some(further.clone()),
                head: Vec::new(),
                count: 0,
            };
            let name = part.name(ramdisks);
            part.write(&mut meter).map_err(|source| Error::Read { part: name.clone(), source })?;
            if meter.count != part.len() {
                let source = io::Error::other(format!(
                    "{} bytes were announced and {} read",
                    part.len(),
                    meter.count
                ));
                return Err(Error::Read { part: name, source });
            }
            crc = meter.crc;
            boot = meter.boot.unwrap_or(boot);
            further = meter.further.unwrap_or(further);
            if matches!(part.kind, Kind::Kernel) && !self.architecture.accepts(&meter.head) {
                return Err(Error::Kernel { expected: self.architecture.kernel() });
            }
            if matches!(part.kind, Kind::Ramdisk) {
                if part.len() == 0 {
                    return Err(Error::EmptyRamdisk { number: ramdisks });
                }
                // PCR1 is what was measured up to here.
                first.get_or_insert_with(|| boot.clone());
                ramdisks += 1;
            }
        }
        let pcrs = Pcrs {
            pcr1: Pcr::extend(first.unwrap_or_else(|| boot.clone())),
            pcr0: Pcr::extend(boot),
            pcr2: Pcr::extend(further),
            pcr8: self.signer.map(Signer::pcr8),
        };
        Ok((pcrs, crc))
    }

    /// The header without its last field, the checksum.
    fn header(&self, parts: &[Part<'_>]) -> Result<Vec<u8>, Error> {
        let flags = match self.architecture {
            Architecture::X86_64 => 0,
            Architecture::Aarch64 => FLAG_AARCH64,
        };
        let mut header = Vec::with_capacity(HEADER as usize);
        header.extend_from_slice(MAGIC);
        header.extend_from_slice(&VERSION.to_be_bytes());
        header.extend_from_slice(&flags.to_be_bytes());
        header.extend_from_slice(&self.memory.to_be_bytes());
        header.extend_from_slice(&self.cpus.to_be_bytes());
        header.extend_from_slice(&[0; 2]);
        header.extend_from_slice(&(parts.len() as u16).to_be_bytes());
        let (mut offsets, mut sizes) = ([0; SECTIONS_MAX], [0; SECTIONS_MAX]);
        let mut at = HEADER;
        for (part, (offset, size)) in parts.iter().zip(offsets.iter_mut().zip(&mut sizes)) {
            (*offset, *size) = (at, part.len());
            let next = at.checked_add(SECTION_HEADER).and_then(|at| at.checked_add(part.len()));
            at = next.ok_or(Error::TooLarge)?;
        }
        for value in offsets.iter().chain(&sizes) {
            header.extend_from_slice(&value.to_be_bytes());
        }
        header.extend_from_slice(&[0; 4]);
        Ok(header)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Measured {
    NotAtAll,
    /// In PCR0, and in PCR1 up to the first ramdisk.
    Boot,
    /// In PCR0 and PCR2.
    Further,
}

/// Measures what is written to it.
struct Meter {
    crc: crc32fast::Hasher,
    boot: Option<Sha384>,
    further: Option<Sha384>,
    /// The first bytes.
    head: Vec<u8>,
    count: u64,
}

impl Write for Meter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.crc.update(bytes);
        for hash in [&mut self.boot, &mut self.further].into_iter().flatten() {
            hash.update(bytes);
        }
        let wanted = KERNEL_HEAD - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(wanted)]);
        self.count += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Part<'a> {
    kind: Kind,
    body: Body<'a>,
}

enum Body<'a> {
    Bytes(Vec<u8>),
    Image(&'a dyn Image),
}

impl<'a> Part<'a> {
    fn new(kind: Kind, body: Body<'a>) -> Self {
        Self { kind, body }
    }

    fn len(&self) -> u64 {
        match &self.body {
            Body::Bytes(bytes) => bytes.len() as u64,
            Body::Image(image) => image.len(),
        }
    }

    fn name(&self, ramdisk: usize) -> String {
        match self.kind {
            Kind::Ramdisk => format!("ramdisk {ramdisk}"),
            kind => format!("{kind:?}").to_lowercase(),
        }
    }

    fn header(&self) -> [u8; SECTION_HEADER as usize] {
        let mut bytes = [0; SECTION_HEADER as usize];
        bytes[..2].copy_from_slice(&(self.kind as u16).to_be_bytes());
        bytes[4..].copy_from_slice(&self.len().to_be_bytes());
        bytes
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        match &self.body {
            Body::Bytes(bytes) => out.write_all(bytes),
            Body::Image(image) => image.write(out),
        }
    }
}

/// A checked, measured and laid out image, ready to be written.
pub struct Plan<'a> {
    header: Vec<u8>,
    parts: Vec<Part<'a>>,
    pcrs: Pcrs,
    len: u64,
}

impl Plan<'_> {
    /// What the enclave's registers will hold.
    pub fn pcrs(&self) -> &Pcrs {
        &self.pcrs
    }
}

impl Image for Plan<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut out = Emitter::new(out);
        out.put(&self.header)?;
        for part in &self.parts {
            out.put(&part.header())?;
            match &part.body {
                Body::Bytes(bytes) => out.put(bytes)?,
                Body::Image(image) => out.image(*image)?,
            }
        }
        out.finish().map(drop)
    }
}
