//! Disks of virtual machines: a container of one node, `disk`, which is the disk within.

mod qcow2;
mod vhd;
mod vmdk;

use crate::{
    bytes::Bytes,
    context::Context,
    error::Result,
    node::{Container, Kind, Node},
};

pub(super) use self::vhd::is as is_vhd;

const SECTOR: u64 = 512;

/// Whether bytes begin as a qcow2 or a sparse VMDK does.
pub(super) fn is(head: &[u8]) -> bool {
    head.starts_with(b"QFI\xfb") || head.starts_with(b"KDMV")
}

/// Opens a qcow2 or a VMDK.
pub(super) fn open(context: &Context, head: &[u8], bytes: &Bytes) -> Result<Container> {
    if head.starts_with(b"QFI") { qcow2::open(context, bytes) } else { vmdk::open(context, bytes) }
}

/// Opens a VHD.
pub(super) fn open_vhd(bytes: &Bytes) -> Result<Container> {
    vhd::open(bytes)
}

fn with_disk(mut container: Container, disk: Bytes) -> Container {
    container.nodes.push(Node::with_bytes("disk", Kind::Part, disk));
    container
}
