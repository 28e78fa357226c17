//! Finds the size of a volume and its shape.

use super::{
    Error, Journal, Params, Size,
    contents::{Contents, Placement},
    geometry::{Demand, Geometry, INODE},
    journal,
};

/// Free bytes for each free inode, where that is not given.
const BYTES_PER_INODE: u64 = 16_384;

/// A shape that holds all.
pub(super) struct Fit {
    pub(super) geometry: Geometry,
    pub(super) placement: Placement,
    /// Blocks of the journal.
    pub(super) journal: u32,
    /// Bytes of the image.
    pub(super) len: u64,
}

/// Finds the shape that `params` ask for.
pub(super) fn fit(contents: &Contents<'_>, params: &Params) -> Result<Fit, Error> {
    let blocks = contents.blocks();
    match params.size {
        Size::Minimum => smallest(contents, params, blocks, 0),
        Size::Free(bytes) => smallest(contents, params, blocks, bytes.div_ceil(contents.block)),
        Size::Exact(size) => exact(contents, params, blocks, size),
    }
}

/// Inodes that are to be free, with so many blocks free.
fn free_inodes(params: &Params, free: u64) -> u64 {
    params
        .free_inodes
        .map_or(free.saturating_mul(u64::from(params.block)) / BYTES_PER_INODE, u64::from)
}

fn smallest(
    contents: &Contents<'_>,
    params: &Params,
    blocks: u64,
    free: u64,
) -> Result<Fit, Error> {
    let block = contents.block;
    let inodes = contents.inode_count().saturating_add(free_inodes(params, free));
    let grow_to =
        if params.size == Size::Minimum { params.grow_to.or(Some(0)) } else { params.grow_to };
    let mut journal = match params.journal {
        Journal::None | Journal::Default => 0,
        Journal::Blocks(blocks) => blocks,
    };
    loop {
        let content = blocks.saturating_add(u64::from(journal)).saturating_add(free);
        let demand = Demand { block, content, inodes, grow_to };
        let too_large = Error::TooLarge { block, blocks: content, inodes };
        let Some(mut geometry) = demand.smallest() else { return Err(too_large) };
        let placement = loop {
            geometry.lay_out();
            let placement = contents.place(&geometry, journal);
            let end = geometry.end_of(placement.end + free).max(geometry.areas_end());
            if end <= geometry.total {
                let last = geometry.group_start(u64::from(geometry.groups) - 1);
                geometry.total = end.max(last + 1);
                break placement;
            }
            // The trees of extents were too much.
            match demand.larger(&geometry) {
                Some(larger) => geometry = larger,
                None => return Err(too_large),
            }
        };
        let default = journal::default_blocks(geometry.total);
        if params.journal != Journal::Default || default <= journal {
            let len = geometry.total * block;
            return Ok(Fit { geometry, placement, journal, len });
        }
        journal = default;
    }
}

fn exact(contents: &Contents<'_>, params: &Params, blocks: u64, size: u64) -> Result<Fit, Error> {
    if let Some(fit) = attempt(contents, params, blocks, size)? {
        return Ok(fit);
    }
    let block = contents.block;
    let minimum = Params { size: Size::Minimum, ..params.clone() };
    let mut needed = smallest(contents, &minimum, blocks, 0)?.len;
    // A volume of a given size has the journal of that size, which may be longer than the one of
    // the smallest volume.
    while needed <= size || attempt(contents, params, blocks, needed)?.is_none() {
        needed = (needed + needed / 64).next_multiple_of(block) + block;
    }
    Err(Error::TooSmall { size, needed })
}

/// The shape of a volume of a given size; none where it is too small.
fn attempt(
    contents: &Contents<'_>,
    params: &Params,
    blocks: u64,
    size: u64,
) -> Result<Option<Fit>, Error> {
    let block = contents.block;
    let total = size / block;
    let journal = match params.journal {
        Journal::None => 0,
        Journal::Default => journal::default_blocks(total),
        Journal::Blocks(blocks) => blocks,
    };
    let content = blocks.saturating_add(u64::from(journal));
    let used = contents.inode_count();
    let room = total.saturating_sub(content).saturating_sub(used * INODE / block);
    let wanted = used.saturating_add(free_inodes(params, room));
    // Where inodes and blocks that nobody asked for do not fit, there are fewer.
    let fewest = if params.free_inodes.is_some() { wanted } else { used };
    let shortest = params.grow_to.or(Some(0));
    for (inodes, grow_to) in
        [(wanted, params.grow_to), (fewest, params.grow_to), (fewest, shortest)]
    {
        let demand = Demand { block, content, inodes, grow_to };
        if demand.is_too_much(total) {
            return Err(Error::TooLarge { block, blocks: total, inodes });
        }
        for geometry in demand.exact(total) {
            let placement = contents.place(&geometry, journal);
            if geometry.end_of(placement.end) <= geometry.total {
                return Ok(Some(Fit { geometry, placement, journal, len: size }));
            }
        }
    }
    Ok(None)
}
