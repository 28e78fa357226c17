//! Enclave images of AWS Nitro (EIF), versions 3 and 4. All numbers are in big-endian order.

use std::io::Read as _;

use crate::{
    bytes::{Bytes, CHUNK},
    error::{Result, invalid},
    node::{Container, Kind, Node},
    values::be,
};

const HEADER: usize = 548;
const MAX_SECTIONS: usize = 32;

/// Opens an enclave image.
pub(super) fn open(bytes: &Bytes) -> Result<Container> {
    let head = bytes.array::<HEADER>(0)?;
    let count = be(&head, 26, 2) as usize;
    if count > MAX_SECTIONS {
        return Err(invalid("eif", format!("{count} sections")));
    }
    let mut container = Container::new("eif");
    container.field("version", be(&head, 4, 2));
    let flags = be(&head, 6, 2);
    container.field("flags", format!("{flags:#06x}"));
    container.field("architecture", if flags & 1 == 0 { "x86_64" } else { "arm64" });
    container.field("default memory", be(&head, 8, 8));
    container.field("default cpus", be(&head, 16, 8));
    container.field("crc32", format!("{:08x}", be(&head, 544, 4)));
    // The checksum is over all but itself.
    let mut sum = crc32fast::Hasher::new();
    sum.update(&head[..544]);
    let mut reader = bytes.tail(HEADER as u64)?.reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = reader.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        sum.update(&buffer[..read]);
    }
    let right = u64::from(sum.finalize()) == be(&head, 544, 4);
    container.field("checksum", if right { "right" } else { "wrong" });
    let mut ramdisks = 0;
    for index in 0..count {
        let offset = be(&head, 28 + index * 8, 8);
        let section = bytes.array::<12>(offset)?;
        let (kind, size) = (be(&section, 0, 2), be(&section, 4, 8));
        let name = match kind {
            1 => "kernel".into(),
            2 => "cmdline".into(),
            3 => {
                ramdisks += 1;
                format!("ramdisk-{ramdisks}")
            }
            4 => "signature".into(),
            5 => "metadata".into(),
            kind => format!("section-type-{kind}"),
        };
        let content = bytes.tail(offset)?.slice(12, size)?;
        let mut node = Node::with_bytes(name, Kind::Section, content);
        if be(&section, 2, 2) != 0 {
            node = node.note("flags", format!("{:#06x}", be(&section, 2, 2)));
        }
        if be(&head, 284 + index * 8, 8) != size {
            node = node.note("size in header", be(&head, 284 + index * 8, 8));
        }
        container.nodes.push(node);
    }
    Ok(container)
}
