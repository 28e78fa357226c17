//! Disks: partitions by role, and a root file system with or without a hash tree.

use std::{collections::BTreeMap, path::Path, sync::OnceLock};

use stagex_image::{
    Image, disk, erofs, ext4, fat, gpt,
    identity::{self, Guid},
    squashfs,
    verity::{self, Verity},
};
use stagex_recipe::boxes::{
    Architecture, DiskPartition, Output, Role, RootCompression, RootFormat,
};
use stagex_tree::{Content, Digest, Tree, TreePath};

use crate::{Composition, Error, Writer, bios::BiosCode, file::write_scratch};

/// What stays free in a root file system that can be written to, where its size is not given.
const ROOM: u64 = 64 << 20;
/// What a second place for the root file system is called behind its name, and the first.
pub(crate) const SLOTS: [&str; 2] = ["-a", "-b"];

/// Where on an EFI system partition the UKI lies that finds the root file system in the second
/// place. Firmware starts it only when it is told to: what is in that place may be nothing.
const SECOND_UKI: &str = "EFI/stagex/slot-b.efi";

/// The partition with what a BIOS starts.
const BIOS_BOOT: &str = "bios-boot";

/// The root file system of a disk.
pub(crate) struct Root<'a> {
    format: RootFormat,
    image: Box<dyn Image + 'a>,
    verity: Option<Verity>,
    /// The GUIDs of its partition and of its hash tree's; where there are two places for it, those
    /// of both.
    places: Vec<(Guid, Guid)>,
}

impl Root<'_> {
    /// What the kernel is told to find it by, in one of its places: it needs no initramfs for that.
    fn cmdline(&self, (data, tree): (Guid, Guid)) -> String {
        let name = self.format.name();
        let place = |guid: Guid| format!("PARTUUID={guid}");
        match &self.verity {
            Some(verity) => {
                let (data, tree) = (place(data), place(tree));
                // Linux's Documentation/admin-guide/device-mapper/dm-init.rst.
                let table = verity.table(&data, &tree);
                format!(
                    "dm-mod.create=\"root,,,ro,{table}\" dm-mod.waitfor={data},{tree} \
                     root=/dev/dm-0 rootfstype={name} ro"
                )
            }
            None => {
                let mode = if self.format == RootFormat::Ext4 { "rw" } else { "ro" };
                format!("root={} rootfstype={name} rootwait {mode}", place(data))
            }
        }
    }
}

impl Composition {
    /// The root file system of a disk; none where it is an initramfs. Compressed blocks wait in
    /// `scratch`, without a name.
    fn root(&self, workers: u32, scratch: &Path) -> Result<Option<Root<'_>>, Error> {
        let seed = identity::derive(&self.digest, "root file system");
        let epoch = i64::try_from(self.epoch).unwrap_or(i64::MAX);
        let image: Box<dyn Image + '_> = match self.rootfs_plan.format {
            RootFormat::Initramfs => return Ok(None),
            RootFormat::Ext4 => {
                let params = self.ext4_params(seed, epoch);
                let laid = ext4::layout(&self.rootfs, &params);
                Box::new(laid.map_err(|error| self.explain_ext4(error, &params))?)
            }
            RootFormat::Erofs => {
                let label = "root".to_owned();
                let params = erofs::Params {
                    label,
                    seed: Some(seed),
                    packing: self.packing(workers, scratch),
                    ..erofs::Params::new(epoch)
                };
                Box::new(erofs::layout(&self.rootfs, &params).map_err(Error::Erofs)?)
            }
            RootFormat::Squashfs => {
                let params = self.squashfs_params(workers, scratch, epoch);
                Box::new(squashfs::layout(&self.rootfs, &params).map_err(Error::Squashfs)?)
            }
        };
        let verity = match self.rootfs_plan.verity {
            true => {
                let params = verity::Params::new(&seed, workers);
                Some(Verity::over(&*image, &params).map_err(Error::Verity)?)
            }
            false => None,
        };
        let places = match &verity {
            _ if self.disk.ab => SLOTS.map(|slot| self.slot_guids(slot)).to_vec(),
            Some(verity) => vec![verity.partition_guids()],
            None => {
                let guid = |what| Guid::derive(&seed, what);
                vec![(guid("partition"), guid("partition of hash tree"))]
            }
        };
        Ok(Some(Root { format: self.rootfs_plan.format, image, verity, places }))
    }

    /// The GUIDs of one of two places for the root file system: the same in every version of the
    /// box, since a later one is written into the partitions that an earlier one's disk has.
    fn slot_guids(&self, slot: &str) -> (Guid, Guid) {
        let seed = Digest::of(format!("stagex slots of {}", self.name));
        let guid = |role: Role| Guid::derive(&seed, &format!("{}{slot}", role.name()));
        (guid(Role::Root), guid(Role::RootVerity))
    }

    /// How an EROFS root file system is compressed, if it is.
    fn packing(&self, threads: u32, scratch: &Path) -> Option<erofs::Packing> {
        let compression = match self.rootfs_plan.compress? {
            RootCompression::Lz4 => erofs::Compression::Lz4,
            RootCompression::Zstd(level) => erofs::Compression::Zstd { level: level_or(level, 3) },
            // The others are not of this format.
            _ => return None,
        };
        let packing = erofs::Packing::new(compression, scratch);
        let cluster = self.rootfs_plan.block.unwrap_or(packing.cluster);
        Some(erofs::Packing { cluster, threads, ..packing })
    }

    /// How a SquashFS root file system is made.
    fn squashfs_params(&self, threads: u32, scratch: &Path, epoch: i64) -> squashfs::Params {
        let params = squashfs::Params::new(epoch, scratch);
        let compression = match self.rootfs_plan.compress {
            None | Some(RootCompression::None) => params.compression,
            Some(RootCompression::Lz4) => squashfs::Compression::Lz4,
            Some(RootCompression::Zstd(level)) => {
                squashfs::Compression::Zstd { level: level_or(level, 15) }
            }
            Some(RootCompression::Xz(level)) => {
                squashfs::Compression::Xz { preset: level.unwrap_or(6) }
            }
            Some(RootCompression::Gzip(level)) => {
                squashfs::Compression::Gzip { level: level.unwrap_or(9) }
            }
        };
        let block_size = self.rootfs_plan.block.unwrap_or(params.block_size);
        squashfs::Params { threads, compression, block_size, ..params }
    }

    /// How an ext4 root file system is made: with room where it is written to.
    fn ext4_params(&self, seed: Digest, epoch: i64) -> ext4::Params {
        let given = self.disk.partitions.iter().find(|each| each.role == Role::Root);
        let is_read_only = self.rootfs_plan.verity;
        ext4::Params {
            size: match given.and_then(DiskPartition::bytes) {
                _ if is_read_only => ext4::Size::Minimum,
                Some(size) => ext4::Size::Exact(size),
                None => ext4::Size::Free(ROOM),
            },
            journal: if is_read_only { ext4::Journal::None } else { ext4::Journal::Default },
            seed: Some(seed),
            ..ext4::Params::new("root", epoch)
        }
    }

    /// The command line with what leads to a root file system.
    fn root_cmdline(&self, root: &Root<'_>, place: (Guid, Guid)) -> String {
        let has =
            |path: &str| TreePath::new(path).is_ok_and(|path| self.rootfs.get(&path).is_some());
        // What an initramfs is started by is not looked for elsewhere.
        let init = if has("init") && !has("sbin/init") { " init=/init" } else { "" };
        format!("{}{init} {}", root.cmdline(place), self.cmdline)
    }

    /// The type of a partition.
    fn kind(&self, role: Role) -> gpt::Type {
        let machine = match self.architecture {
            Architecture::X86_64 => "x86-64",
            Architecture::Arm64 => "arm64",
            Architecture::Riscv64 => "riscv64",
        };
        let name = match role {
            Role::Root => format!("linux-root-{machine}"),
            Role::RootVerity => format!("linux-root-verity-{machine}"),
            Role::Data => "linux-generic".to_owned(),
            role => role.name().to_owned(),
        };
        // Every role has a type of that name, which a test sees to.
        gpt::Type::named(&name).unwrap_or(gpt::Type::ESP)
    }
}

impl Writer<'_> {
    /// The UKIs of a disk, one for each place of the root file system, which find it there; made
    /// once.
    fn disk_ukis(&self, root: &Root<'_>) -> Result<&[Content], Error> {
        if let Some(ukis) = self.disk_ukis.get() {
            return Ok(ukis);
        }
        let mut ukis = Vec::new();
        for (number, place) in root.places.iter().enumerate() {
            let cmdline = self.composition.root_cmdline(root, *place);
            let plan = self.composition.uki(None, cmdline).plan()?;
            let path = self.scratch.join(format!("uki-disk-{number}"));
            let (digest, len) = write_scratch(&path, |mut out| plan.write(&mut out))?;
            ukis.push(Content::from_file(path, 0, len).with_digest(digest));
        }
        Ok(self.disk_ukis.get_or_init(|| ukis))
    }

    /// Lays the disk out and hands it to `then`.
    pub(crate) fn with_disk<T>(
        &self,
        then: impl FnOnce(&dyn Image) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let composition = self.composition;
        let root = composition.root(self.workers, self.scratch)?;
        let (uki, other) = match &root {
            Some(root) => match self.disk_ukis(root)? {
                [first, other @ ..] => (first, other.first()),
                // There is always a place.
                [] => return Err(Error::NotYet { output: Output::Disk }),
            },
            None => (self.uki()?, None),
        };
        let mut tree = self.esp(uki.clone())?;
        if let Some(other) = other {
            self.put(&mut tree, SECOND_UKI, other.clone())?;
        }
        let of_esp = composition.disk.partitions.iter().find(|each| each.role == Role::Esp);
        let mut esp_params = self.disk_fat_params();
        if let Some(size) = of_esp.and_then(DiskPartition::bytes) {
            // Smaller clusters where the volume is too small for FAT32 with the usual ones.
            (esp_params.size, esp_params.cluster) = (Some(size), None);
        }
        let code = composition.bios.as_ref();
        let empty = Tree::new();
        let volumes = composition.empty_volumes(&empty)?;
        let hash_tree = root.as_ref().and_then(|root| root.verity.as_ref()).map(Verity::tree);
        let nothing = Content::from_bytes(*b"");
        let partitions =
            |esp: &dyn Image,
             loader: Option<&Content>,
             with: &mut dyn FnMut(&[disk::Partition<'_>]) -> Result<(), Error>| {
                let mut all = Vec::new();
                for each in &composition.disk.partitions {
                    let content: &dyn Image = match (each.role, &root, &hash_tree) {
                        (Role::Esp, ..) => esp,
                        (Role::Root, Some(root), _) => &*root.image,
                        (Role::RootVerity, _, Some(tree)) => tree,
                        _ => match volumes.get(each.name.as_str()) {
                            Some(volume) => volume,
                            None => &nothing,
                        },
                    };
                    let places = root.iter().flat_map(|root| &root.places);
                    let guids: Vec<Guid> = match each.role {
                        Role::Root => places.map(|place| place.0).collect(),
                        Role::RootVerity => places.map(|place| place.1).collect(),
                        _ => Vec::new(),
                    };
                    all.extend(composition.partition(each, content, &guids, &nothing));
                }
                all.extend(loader.map(|loader| disk::Partition {
                    kind: gpt::Type::named("bios-boot").unwrap_or(gpt::Type::ESP),
                    name: BIOS_BOOT.to_owned(),
                    content: loader,
                    size: None,
                    guid: None,
                    attributes: 0,
                    in_mbr: false,
                }));
                with(&all)
            };
        // Where the ESP lies is known when all is laid out, and is then written into it.
        let places = OnceLock::new();
        let mut params = disk::Params {
            size: composition.disk.bytes(),
            ..disk::Params::new(*composition.digest())
        };
        let esp = fat::layout(&tree, &esp_params).map_err(|error| match error {
            fat::Error::TooSmall { .. } => {
                let params = fat::Params { size: None, cluster: None, ..self.disk_fat_params() };
                let needed = fat::layout(&tree, &params).map_or(0, |esp| esp.len());
                composition.explain_esp(error, needed)
            }
            error => Error::Fat(error),
        })?;
        let unset = code.map(BiosCode::unset);
        partitions(&esp, unset.as_ref(), &mut |all| {
            let laid =
                disk::layout(all, &params).map_err(|error| composition.explain_disk(error))?;
            let first = |wanted: &dyn Fn(&gpt::Entry) -> bool| {
                laid.entries().iter().find(|entry| wanted(entry)).map_or(0, |entry| entry.first)
            };
            places.get_or_init(|| {
                (first(&|e| e.kind == gpt::Type::ESP), first(&|e| e.name == BIOS_BOOT))
            });
            Ok(())
        })?;
        let (first, loader_first) = places.into_inner().unwrap_or((0, 0));
        esp_params.hidden_sectors = u32::try_from(first).unwrap_or(u32::MAX);
        let esp = fat::layout(&tree, &esp_params).map_err(Error::Fat)?;
        let mut set = None;
        if let Some(code) = code {
            params.boot_code = code.mbr(loader_first * gpt::SECTOR);
            set = Some(code.loader(uki, first * gpt::SECTOR + self.place_of_uki(&esp)?)?);
        }
        let mut then = Some(then);
        let mut result = None;
        partitions(&esp, set.as_ref(), &mut |all| {
            let laid =
                disk::layout(all, &params).map_err(|error| composition.explain_disk(error))?;
            if let Some(then) = then.take() {
                result = Some(then(&laid)?);
            }
            Ok(())
        })?;
        // It was called just now, or the error returned.
        result.ok_or(Error::NotYet { output: Output::Disk })
    }
}

impl Composition {
    /// The file systems that begin empty, by the partition's name.
    fn empty_volumes<'a>(
        &'a self,
        empty: &'a Tree,
    ) -> Result<BTreeMap<&'a str, ext4::Ext4<'a>>, Error> {
        let mut volumes = BTreeMap::new();
        for each in self.disk.partitions.iter().filter(|each| each.ext4) {
            let what = format!("empty file system of {}", each.name);
            let params = ext4::Params {
                size: each.bytes().map_or(ext4::Size::Free(ROOM), ext4::Size::Exact),
                seed: Some(identity::derive(&self.digest, &what)),
                ..ext4::Params::new(each.role.name(), i64::try_from(self.epoch).unwrap_or(i64::MAX))
            };
            let volume = ext4::layout(empty, &params)
                .map_err(|error| Error::Volume { partition: each.name.clone(), error })?;
            volumes.insert(each.name.as_str(), volume);
        }
        Ok(volumes)
    }

    /// A partition of the disk, and the second, empty one where there is one.
    fn partition<'a>(
        &self,
        each: &DiskPartition,
        content: &'a dyn Image,
        guids: &[Guid],
        nothing: &'a Content,
    ) -> Vec<disk::Partition<'a>> {
        let attribute = |name: &str| gpt::attribute(name).unwrap_or(0);
        let is_root = matches!(each.role, Role::Root | Role::RootVerity);
        let read_only = is_root && self.rootfs_plan.verity;
        let first = disk::Partition {
            kind: self.kind(each.role),
            name: each.name.clone(),
            content,
            size: each.bytes(),
            guid: guids.first().copied(),
            attributes: if read_only { attribute("read-only") } else { 0 },
            in_mbr: false,
        };
        if !(is_root && self.disk.ab) {
            return vec![first];
        }
        let second = disk::Partition {
            name: format!("{}{}", each.name, SLOTS[1]),
            content: nothing,
            size: Some(each.bytes().unwrap_or(content.len())),
            guid: guids.get(1).copied(),
            attributes: first.attributes | attribute("no-auto"),
            ..first
        };
        vec![disk::Partition { name: format!("{}{}", each.name, SLOTS[0]), ..first }, second]
    }
}

/// A level of Zstandard, which the recipe has checked.
fn level_or(level: Option<u32>, usual: i32) -> i32 {
    level.and_then(|level| i32::try_from(level).ok()).unwrap_or(usual)
}

/// Whether an output holds the root file system as an initramfs whatever box.toml says of it.
pub(crate) fn refuse_other_root(composition: &Composition, output: Output) -> Result<(), Error> {
    match composition.rootfs_plan.format {
        RootFormat::Initramfs => Ok(()),
        format => Err(Error::RootOutput { format, output }),
    }
}

/// Where the registers of an enclave image are written.
pub(crate) fn registers(image: &Path) -> std::path::PathBuf {
    image.with_extension("eif.pcrs.json")
}

#[cfg(test)]
pub(crate) mod tests;
