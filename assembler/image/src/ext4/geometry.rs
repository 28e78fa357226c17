//! Where everything lies that does not depend on the files: groups, tables, bitmaps.
//!
//! A volume is groups of blocks. Some groups begin with the superblock, the group descriptors and
//! blocks kept for more of them ("sparse_super": groups 0, 1 and the powers of 3, 5 and 7). The
//! bitmaps and inode tables of 16 groups lie together at the first of them ("flex_bg"). These are
//! the volume's areas; all other blocks hold content, are counted from 0 on in the order in which
//! they lie, and are used without a gap.

/// Bytes of a group descriptor, with the feature `64bit`.
pub(super) const DESCRIPTOR: u64 = 64;
/// Bytes of an inode.
pub(super) const INODE: u64 = 256;
/// The binary logarithm of how many groups keep their tables together.
pub(super) const FLEX_LOG: u8 = 4;
/// The fewest blocks of a group that Linux and e2fsprogs take, with room to spare.
const PER_GROUP_MIN: u64 = 256;
/// The first block number that no longer has 32 bits.
const BLOCKS_32: u64 = 1 << 32;
/// The most groups: the descriptors of more would not fit the first group.
const GROUPS_MAX: u64 = 1 << 20;

/// What an area holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The superblock or a copy, descriptors and blocks kept for more.
    Super,
    BlockBitmap,
    InodeBitmap,
    InodeTable,
}

/// Blocks that do not hold content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Area {
    pub(super) start: u64,
    pub(super) len: u64,
    pub(super) part: Part,
    pub(super) group: u32,
}

impl Area {
    pub(super) fn end(&self) -> u64 {
        self.start + self.len
    }
}

/// Where a group's bitmaps and inode table are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) block_bitmap: u64,
    pub(super) inode_bitmap: u64,
    pub(super) table: u64,
}

/// Blocks between areas.
#[derive(Debug, Clone, Copy)]
struct Gap {
    start: u64,
    /// Blocks of content before it.
    before: u64,
}

/// What a geometry is made for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Demand {
    /// Bytes of a block.
    pub(super) block: u64,
    /// Blocks of content, at least.
    pub(super) content: u64,
    /// Inodes, reserved ones included, at least.
    pub(super) inodes: u64,
    /// The bytes to which it can be grown without moving anything; `None` for 1,024 times as many
    /// as it has.
    pub(super) grow_to: Option<u64>,
}

impl Demand {
    /// The number of the first block that belongs to a group.
    pub(super) fn first(&self) -> u64 {
        u64::from(self.block == 1024)
    }

    /// Blocks of a group, commonly: as many as a block has bits.
    fn per_group(&self) -> u64 {
        8 * self.block
    }

    /// The geometry with the fewest groups that can hold all, where anything can; it may still
    /// lack the blocks that the trees of extents take.
    pub(super) fn smallest(&self) -> Option<Geometry> {
        let geometry = self.fewest_groups(self.per_group())?;
        if geometry.holds(self.inodes) {
            return Some(geometry);
        }
        // More inodes than blocks: smaller groups, so that there are more of them.
        let groups = self.inodes.div_ceil(self.per_group());
        let whole = Geometry::shape(self, self.per_group(), groups)?;
        let blocks = (self.content + whole.overhead()).div_ceil(groups);
        let per_group = blocks.next_multiple_of(8).clamp(PER_GROUP_MIN, self.per_group());
        Geometry::shape(self, per_group, groups).filter(|geometry| geometry.holds(self.inodes))
    }

    fn fewest_groups(&self, per_group: u64) -> Option<Geometry> {
        let mut groups = 1;
        loop {
            let geometry = Geometry::shape(self, per_group, groups)?;
            let needed = (self.content + geometry.overhead()).div_ceil(per_group);
            if needed <= groups {
                return Some(geometry);
            }
            groups = needed;
        }
    }

    /// A geometry with one group more than `than`.
    pub(super) fn larger(&self, than: &Geometry) -> Option<Geometry> {
        let geometry = Geometry::shape(self, than.per_group, u64::from(than.groups) + 1);
        geometry.filter(|geometry| geometry.holds(self.inodes))
    }

    /// Whether `total` blocks are more than any volume has.
    pub(super) fn is_too_much(&self, total: u64) -> bool {
        let groups = total.div_ceil(self.per_group());
        groups != 0 && Geometry::shape(self, self.per_group(), groups).is_none()
    }

    /// The geometries for a volume of `total` blocks, best first. They have smaller groups where
    /// there are more inodes than blocks, and may leave the last group away, where that is too
    /// short for what it must hold.
    pub(super) fn exact(&self, total: u64) -> Vec<Geometry> {
        let blocks = total.saturating_sub(self.first());
        let common = self.per_group();
        let geometry = Geometry::shape(self, common, blocks.div_ceil(common));
        let sizes = match geometry.is_some_and(|geometry| geometry.holds(self.inodes)) {
            true => vec![common],
            false => {
                let spread = blocks.div_ceil(self.inodes.div_ceil(common).max(1));
                let smallest = self.smallest().map(|geometry| geometry.per_group);
                [spread.next_multiple_of(8)].into_iter().chain(smallest).collect()
            }
        };
        let mut found = Vec::new();
        for per_group in sizes {
            let per_group = per_group.clamp(PER_GROUP_MIN, common);
            let groups = blocks.div_ceil(per_group);
            for groups in [groups, groups.saturating_sub(1)] {
                let geometry = Geometry::shape(self, per_group, groups);
                if let Some(mut geometry) = geometry.filter(|g| g.holds(self.inodes)) {
                    geometry.lay_out();
                    if geometry.areas_end() <= total {
                        geometry.total = total.min(geometry.group_start(groups));
                        found.push(geometry);
                    }
                }
            }
        }
        found
    }
}

/// The shape of a volume.
#[derive(Debug, Clone)]
pub(super) struct Geometry {
    /// Bytes of a block.
    pub(super) block: u64,
    /// The number of the first block that belongs to a group.
    pub(super) first: u64,
    /// Blocks of a group.
    pub(super) per_group: u64,
    pub(super) groups: u32,
    pub(super) inodes_per_group: u32,
    /// Blocks of group descriptors.
    pub(super) descriptors: u64,
    /// Blocks kept for more of them.
    pub(super) reserved: u64,
    /// All blocks. Up to the end of the last group until it is known.
    pub(super) total: u64,
    pub(super) areas: Vec<Area>,
    pub(super) places: Vec<Place>,
    gaps: Vec<Gap>,
}

impl Geometry {
    /// The numbers, without areas; `None` where no volume can be that large.
    fn shape(demand: &Demand, per_group: u64, groups: u64) -> Option<Self> {
        if per_group < PER_GROUP_MIN || groups == 0 || groups > GROUPS_MAX {
            return None;
        }
        let block = demand.block;
        // Whole blocks of the table, and whole bytes of the bitmap.
        let unit = (block / INODE).max(8);
        let inodes_per_group = demand.inodes.div_ceil(groups).max(1).next_multiple_of(unit);
        let per_block = block / DESCRIPTOR;
        let descriptors = groups.div_ceil(per_block);
        let most = (BLOCKS_32 - 1) / per_group;
        let grown = match demand.grow_to {
            None => groups.saturating_mul(1024),
            Some(bytes) => bytes.div_ceil(block).div_ceil(per_group),
        };
        // The blocks are listed in one block of the inode that holds them, by 32 bits.
        let reserved = grown.min(most).div_ceil(per_block).saturating_sub(descriptors);
        let reserved = reserved.min(block / 4).min(per_group / 4);
        let reserved = if groups > most { 0 } else { reserved };
        if 1 + descriptors + reserved > per_group / 2 {
            return None;
        }
        let first = demand.first();
        Some(Self {
            block,
            first,
            per_group,
            groups: u32::try_from(groups).ok()?,
            inodes_per_group: u32::try_from(inodes_per_group).ok()?,
            descriptors,
            reserved,
            total: first + groups * per_group,
            areas: Vec::new(),
            places: Vec::new(),
            gaps: Vec::new(),
        })
    }

    /// Whether its inode bitmaps and 32 bits can number that many inodes.
    fn holds(&self, inodes: u64) -> bool {
        let per_group = u64::from(self.inodes_per_group);
        let all = per_group * u64::from(self.groups);
        per_group <= 8 * self.block && inodes <= all && u32::try_from(all).is_ok()
    }

    /// Blocks of one inode table.
    pub(super) fn table(&self) -> u64 {
        u64::from(self.inodes_per_group) * INODE / self.block
    }

    /// Blocks of all areas.
    fn overhead(&self) -> u64 {
        let copies = (0..self.groups).filter(|&group| has_super(group)).count() as u64;
        copies * (1 + self.descriptors + self.reserved)
            + u64::from(self.groups) * (2 + self.table())
    }

    /// The first block of a group.
    pub(super) fn group_start(&self, group: u64) -> u64 {
        self.first + group * self.per_group
    }

    /// The blocks of a group, the last one short.
    pub(super) fn group_blocks(&self, group: u32) -> std::ops::Range<u64> {
        let start = self.group_start(u64::from(group)).min(self.total);
        start..self.group_start(u64::from(group) + 1).min(self.total)
    }

    /// The end of the last area.
    pub(super) fn areas_end(&self) -> u64 {
        self.areas.last().map_or(0, Area::end)
    }

    /// Places the areas, and finds the gaps.
    pub(super) fn lay_out(&mut self) {
        let supers: Vec<Area> = (0..self.groups)
            .filter(|&group| has_super(group))
            .map(|group| Area {
                start: self.group_start(u64::from(group)),
                len: 1 + self.descriptors + self.reserved,
                part: Part::Super,
                group,
            })
            .collect();
        let mut areas = Vec::with_capacity(supers.len() + 3 * self.groups as usize);
        self.places = vec![Place::default(); self.groups as usize];
        let mut at = 0;
        let mut next = 0;
        let table = self.table();
        let mut place = |from: u64, len: u64, part: Part, group: u32| -> u64 {
            at = from.max(at);
            // The copies of the superblock stand where they stand.
            while next < supers.len() && supers[next].start < at + len {
                at = at.max(supers[next].end());
                next += 1;
            }
            areas.push(Area { start: at, len, part, group });
            at += len;
            at - len
        };
        let flex = 1 << FLEX_LOG;
        for leader in (0..self.groups).step_by(flex) {
            let from = self.first + u64::from(leader) * self.per_group;
            let members = leader..self.groups.min(leader + flex as u32);
            for group in members.clone() {
                self.places[group as usize].block_bitmap = place(from, 1, Part::BlockBitmap, group);
            }
            for group in members.clone() {
                self.places[group as usize].inode_bitmap = place(from, 1, Part::InodeBitmap, group);
            }
            for group in members {
                self.places[group as usize].table = place(from, table, Part::InodeTable, group);
            }
        }
        areas.extend_from_slice(&supers);
        areas.sort_unstable_by_key(|area| area.start);
        self.gaps.clear();
        let (mut at, mut before) = (self.first, 0);
        for area in &areas {
            if area.start > at {
                self.gaps.push(Gap { start: at, before });
                before += area.start - at;
            }
            at = area.end();
        }
        self.gaps.push(Gap { start: at, before });
        self.areas = areas;
    }

    /// The gap that holds a block of content.
    fn gap(&self, content: u64) -> usize {
        self.gaps.partition_point(|gap| gap.before <= content).saturating_sub(1)
    }

    /// The block that a block of content is.
    pub(super) fn block_of(&self, content: u64) -> u64 {
        let gap = &self.gaps[self.gap(content)];
        gap.start + (content - gap.before)
    }

    /// The pieces in which `len` blocks of content from `content` on lie: block and length.
    pub(super) fn pieces(&self, content: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut gap = self.gap(content);
        let (mut at, end) = (content, content + len);
        std::iter::from_fn(move || {
            if at == end {
                return None;
            }
            let here = &self.gaps[gap];
            let until = self.gaps.get(gap + 1).map_or(end, |next| next.before.min(end));
            let piece = (here.start + (at - here.before), until - at);
            gap += 1;
            at = until;
            Some(piece)
        })
    }

    /// Where the first `content` blocks of content end.
    pub(super) fn end_of(&self, content: u64) -> u64 {
        content.checked_sub(1).map_or(0, |last| self.block_of(last) + 1)
    }
}

/// Whether a group begins with a copy of the superblock.
pub(super) fn has_super(group: u32) -> bool {
    let is_power = |base: u32| {
        let mut left = group;
        while left % base == 0 {
            left /= base;
        }
        left == 1
    };
    group <= 1 || is_power(3) || is_power(5) || is_power(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn demand(block: u64, content: u64, inodes: u64) -> Demand {
        Demand { block, content, inodes, grow_to: None }
    }

    #[test]
    fn copies_of_the_superblock_are_where_they_are_looked_for() {
        let found: Vec<u32> = (0..=343).filter(|&group| has_super(group)).collect();
        assert_eq!(found, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125, 243, 343]);
    }

    #[test]
    fn areas_do_not_touch_and_gaps_are_what_is_between() {
        for block in [1024, 2048, 4096] {
            for (content, inodes) in [(1, 11), (40_000, 50_000), (600_000, 700_000), (5, 300_000)] {
                let demand = demand(block, content, inodes);
                let mut geometry = demand.smallest().unwrap();
                geometry.lay_out();
                let mut used = 0;
                for pair in geometry.areas.windows(2) {
                    assert!(pair[0].end() <= pair[1].start, "{pair:?}");
                }
                used += geometry.areas.iter().map(|area| area.len).sum::<u64>();
                assert_eq!(used, geometry.overhead());
                let room = geometry.total - geometry.first - used;
                assert!(room >= content);
                let pieces: Vec<_> = geometry.pieces(0, room).collect();
                assert_eq!(pieces.iter().map(|piece| piece.1).sum::<u64>(), room);
                let mut content = 0;
                for (at, len) in pieces {
                    assert_eq!(geometry.block_of(content), at);
                    assert_eq!(geometry.block_of(content + len - 1), at + len - 1);
                    let inside = |area: &Area| area.start < at + len && at < area.end();
                    assert!(!geometry.areas.iter().any(inside));
                    content += len;
                }
            }
        }
    }

    #[test]
    fn a_size_that_ends_within_a_copy_leaves_its_group_away() {
        let demand = demand(4096, 10, 100);
        let exact = demand.exact(32_768 + 2);
        assert_eq!(exact.len(), 1);
        assert_eq!((exact[0].groups, exact[0].total), (1, 32_768));
        let exact = demand.exact(2 * 32_768 + 1);
        assert_eq!((exact[0].groups, exact[0].total), (3, 65_537));
        assert!(demand.exact(3).is_empty());
    }
}
