//! Where the parts of a FAT volume lie.

use super::Width;

/// Bytes of a sector; the size that every reader knows.
pub(super) const SECTOR: u64 = 512;
/// Copies of the table.
pub(super) const TABLES: u64 = 2;
/// Cluster sizes in sectors, in the order in which they are tried for a volume of given size.
const CLUSTERS: [u64; 7] = [8, 4, 2, 1, 16, 32, 64];
/// Readers tell the widths apart by the number of clusters. Some count a few off, so a volume
/// keeps away from the borders by this many, as the specification advises.
const MARGIN: u64 = 16;
/// Sectors before the tables of FAT32: boot sectors, their backup, and room, as is customary.
const RESERVED_32: u64 = 32;

/// A volume's parts, in sectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Geometry {
    pub(super) width: Width,
    /// Sectors of a cluster.
    pub(super) cluster: u64,
    /// Sectors before the first table.
    pub(super) reserved: u64,
    /// Sectors of one table.
    pub(super) table: u64,
    /// Sectors of the root directory of FAT12 and FAT16.
    pub(super) root: u64,
    /// How many clusters there are.
    pub(super) clusters: u64,
    /// Sectors of the volume.
    pub(super) total: u64,
}

impl Geometry {
    /// The first sector of the clusters.
    pub(super) fn data(&self) -> u64 {
        self.reserved + TABLES * self.table + self.root
    }

    /// Bytes of a cluster.
    pub(super) fn cluster_bytes(&self) -> u64 {
        self.cluster * SECTOR
    }

    fn frame(width: Width, cluster: u64, root: u64, clusters: u64) -> Self {
        let table = ((clusters + 2) * width.bits()).div_ceil(8).div_ceil(SECTOR);
        let mut reserved = 1;
        if width == Width::Fat32 {
            // The clusters begin on a multiple of their size.
            let after = TABLES * table + root;
            reserved = (RESERVED_32 + after).next_multiple_of(cluster) - after;
        }
        let mut frame = Self { width, cluster, reserved, table, root, clusters, total: 0 };
        frame.total = frame.data() + clusters * cluster;
        frame
    }

    /// The volume of exactly `total` sectors, where the width allows its number of clusters.
    fn of_total(width: Width, cluster: u64, root: u64, total: u64) -> Option<Self> {
        let most = total.checked_sub(1 + root)? / cluster;
        let frame = Self::frame(width, cluster, root, most);
        let clusters = total.checked_sub(frame.data())? / cluster;
        let (low, high) = width.clusters();
        // The table keeps the few entries that its own size took away.
        (low..=high).contains(&clusters).then_some(Self { clusters, total, ..frame })
    }
}

impl Width {
    /// Bits of an entry in the table.
    pub(super) fn bits(self) -> u64 {
        match self {
            Width::Fat12 => 12,
            Width::Fat16 => 16,
            Width::Fat32 => 32,
        }
    }

    /// The fewest and the most clusters of a volume.
    pub(super) fn clusters(self) -> (u64, u64) {
        match self {
            Width::Fat12 => (1, 4_084 - MARGIN),
            Width::Fat16 => (4_085 + MARGIN, 65_524 - MARGIN),
            Width::Fat32 => (65_525 + MARGIN, 0x0fff_fff4 - MARGIN),
        }
    }
}

/// Why there is no geometry.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The size given is too small for the tree, or for the width.
    TooSmall,
    /// The tree or the size given is more than the width can hold.
    TooLarge,
}

/// Finds the geometry: of `size` sectors where given, else the smallest, with clusters of
/// `cluster` sectors where given. `needed` tells how many clusters of a size the tree takes.
pub(super) fn choose(
    width: Width,
    cluster: Option<u64>,
    size: Option<u64>,
    root: u64,
    needed: impl Fn(u64) -> u64,
) -> Result<Geometry, Misfit> {
    let given = cluster.map(|cluster| [cluster]);
    let candidates: &[u64] = given.as_ref().map_or(&CLUSTERS, |given| given);
    let (low, high) = width.clusters();
    let fits = |geometry: &Geometry| u32::try_from(geometry.total).is_ok();
    match size {
        Some(total) => {
            let mut misfit = Misfit::TooLarge;
            for &cluster in candidates {
                match Geometry::of_total(width, cluster, root, total) {
                    Some(geometry) if geometry.clusters >= needed(cluster) => {
                        return if fits(&geometry) { Ok(geometry) } else { Err(Misfit::TooLarge) };
                    }
                    Some(_) => misfit = Misfit::TooSmall,
                    None if total / cluster < low + MARGIN => misfit = Misfit::TooSmall,
                    None => {}
                }
            }
            Err(misfit)
        }
        None => candidates
            .iter()
            .filter_map(|&cluster| {
                let clusters = needed(cluster).max(low);
                let frame = || Geometry::frame(width, cluster, root, clusters);
                (clusters <= high).then(frame).filter(fits)
            })
            // Of equally small volumes the one with the fewest clusters.
            .min_by_key(|geometry| (geometry.total, geometry.clusters))
            .ok_or(Misfit::TooLarge),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_fat32_is_as_small_as_it_may_be() {
        let geometry = choose(Width::Fat32, None, None, 0, |_| 1).unwrap();
        assert_eq!((geometry.cluster, geometry.clusters), (1, 65_541));
        assert_eq!(geometry.data() % geometry.cluster, 0);
        assert!(geometry.total * SECTOR < 34_200_000);
        let geometry = choose(Width::Fat32, Some(8), None, 0, |_| 1).unwrap();
        assert_eq!(geometry.data() % 8, 0);
        assert_eq!(geometry.clusters, 65_541);
    }

    #[test]
    fn given_sizes_are_kept_or_refused() {
        for total in [66_650, 70_000, 1 << 20, 1 << 26] {
            let geometry = choose(Width::Fat32, None, Some(total), 0, |_| 1).unwrap();
            assert_eq!(geometry.total, total);
            let used = geometry.data() + geometry.clusters * geometry.cluster;
            assert!(used <= total && total - used < geometry.cluster + 16, "{geometry:?}");
            assert!(geometry.table * SECTOR * 8 / 32 >= geometry.clusters + 2);
        }
        let few = choose(Width::Fat32, None, Some(1000), 0, |_| 1);
        assert_eq!(few, Err(Misfit::TooSmall));
        let full = choose(Width::Fat16, Some(1), Some(10_000), 32, |_| 10_000);
        assert_eq!(full, Err(Misfit::TooSmall));
        assert_eq!(choose(Width::Fat12, None, Some(1 << 20), 32, |_| 1), Err(Misfit::TooLarge));
        assert_eq!(choose(Width::Fat16, None, None, 32, |_| 1 << 20), Err(Misfit::TooLarge));
    }
}
