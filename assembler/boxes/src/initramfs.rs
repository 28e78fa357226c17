//! The root file system as an initramfs: two compressed archives, one after the other.
//!
//! The first holds what comes of packages, the second what the box adds. Linux unpacks any number
//! of them in a row (`Documentation/driver-api/early-userspace/buffer-format.rst`), and so a
//! changed file of the box leaves nearly all of it as it is: the first is kept, compressed. Each is
//! a frame of its own, with nothing between them, so that `zstd -d` takes both; the first archive
//! is padded to a block of cpio's, where `cpio` goes on reading.

use std::io::{self, Write};

use stagex_image::{Image, compress::Zstd, cpio};
use stagex_tree::{Content, Digest, Metadata, Tree, TreePath};

use crate::{Composition, Error, Writer, file::write_scratch, kept::kept};

/// Bytes of a block of an archive.
const BLOCK: u64 = 512;

/// An archive with zeros behind it, up to a whole block.
struct Whole<'a>(&'a dyn Image);

impl Image for Whole<'_> {
    fn len(&self) -> u64 {
        self.0.len().next_multiple_of(BLOCK)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.0.write(out)?;
        io::copy(&mut io::Read::take(io::repeat(0), self.len() - self.0.len()), out).map(drop)
    }
}

impl Composition {
    /// The root file system in two: what comes of packages, and what the box adds, with the
    /// folders above that.
    fn halves(&self) -> Result<(Tree, Tree), Error> {
        let mut packages = self.rootfs.clone();
        let mut own = Tree::new();
        if let Some(metadata) = own.metadata_mut(&TreePath::root()) {
            let root = self.rootfs.get(&TreePath::root());
            *metadata = root.map_or(Metadata::new(0o755), |root| root.inode.metadata.clone());
        }
        for path in &self.own {
            let mut above: Vec<TreePath> =
                std::iter::successors(Some(path.clone()), TreePath::parent).collect();
            above.retain(|each| own.get(each).is_none());
            for each in above.into_iter().rev() {
                if let Some(entry) = self.rootfs.get(&each) {
                    own.insert(each, entry.inode.clone())?;
                }
            }
            packages.remove(path)?;
        }
        Ok((packages, own))
    }
}

impl Writer<'_> {
    /// The root file system as compressed archives; made once.
    pub(crate) fn initramfs(&self) -> Result<&Content, Error> {
        if let Some(initramfs) = self.initramfs.get() {
            return Ok(initramfs);
        }
        let (packages, own) = self.composition.halves()?;
        let params = cpio::Params { drop_xattrs: true };
        let zstd = Zstd::new(self.workers);
        let name = &self.composition.name;
        let place = self.keep.unwrap_or(self.scratch).join(format!(".{name}.packages.cpio.zst"));
        let read_error = Error::at(&place);
        let inputs = Digest::of(format!(
            "packages as cpio 1, zstd {} level {}\n{}",
            Zstd::version(),
            zstd.level,
            packages.digest().map_err(read_error)?
        ));
        let layout = cpio::layout(&packages, &params).map_err(Error::Cpio)?;
        let mut packages = kept(&place, &inputs, &self.scratch.join("packages"), |out| {
            zstd.compress(&Whole(&layout), out)
        })?;
        let own = cpio::layout(&own, &params).map_err(Error::Cpio)?;
        let path = self.scratch.join("initramfs");
        let (digest, len) = write_scratch(&path, |out| {
            io::copy(&mut packages, out)?;
            zstd.compress(&Whole(&own), out)
        })?;
        let content = Content::from_file(path, 0, len).with_digest(digest);
        Ok(self.initramfs.get_or_init(|| content))
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use stagex_recipe::boxes::{Disk, Output, RootFormat};
    use stagex_tree::{Inode, Kind};

    use super::*;
    use crate::disk::tests::{composition, store};

    fn put(composition: &mut Composition, path: &str, content: &str) {
        let kind = Kind::File(Content::from_bytes(content.as_bytes()));
        let inode = Inode { metadata: Metadata::new(0o644), kind };
        composition.rootfs.insert(TreePath::new(path).unwrap(), inode).unwrap();
    }

    fn shell(folder: &Path, script: &str) -> String {
        let output = Command::new("sh").args(["-ec", script]).current_dir(folder).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "needs Debian's zstd and cpio: {script}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn both_archives_together_are_the_root_file_system() {
        let mut composition = composition(RootFormat::Initramfs, false, Disk::default());
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder.path().join("store"));
        for path in ["etc", "etc/own"] {
            let directory = Inode { metadata: Metadata::new(0o750), kind: Kind::Directory };
            composition.rootfs.insert(TreePath::new(path).unwrap(), directory).unwrap();
        }
        put(&mut composition, "etc/of-package", "package\n");
        put(&mut composition, "etc/own/file", "own\n");
        composition.own.extend(["etc/own", "etc/own/file"].map(|p| TreePath::new(p).unwrap()));
        let keep = folder.path().join("keep");
        let write = |composition: &Composition| {
            let scratch = tempfile::tempdir().unwrap();
            let writer = composition.writer(&store, scratch.path(), 2).keeping(&keep);
            writer.write(Output::Initramfs, folder.path()).unwrap()[0].sha256
        };
        let first = write(&composition);
        shell(folder.path(), "zstd -qt tiny.cpio.zst");
        let unpack = "rm -rf root; mkdir root; cd root
            zstd -qdc ../tiny.cpio.zst | (cpio -idm --quiet; cpio -t --quiet >../second; cat >../rest)
            zstd -qdc ../tiny.cpio.zst | (cpio -t --quiet >/dev/null; cpio -idm --quiet)
            find . -mindepth 1 -printf '%P %m\\n' | LC_ALL=C sort";
        let listed = shell(folder.path(), unpack);
        let want = "big 755\netc 750\netc/of-package 644\netc/own 750\netc/own/file 644\n\
                    init 755\n";
        assert_eq!(listed, want);
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("second"), ".\netc\netc/own\netc/own/file\ninit\n");
        assert_eq!(read("rest"), "");
        assert_eq!(read("root/etc/own/file"), "own\n");

        // What is kept is taken again, whatever the box's own files are.
        let kept = keep.join(".tiny.packages.cpio.zst");
        let written = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        let before = written(&kept);
        put(&mut composition, "etc/own/file", "changed\n");
        let second = write(&composition);
        assert_ne!(second, first);
        assert_eq!(written(&kept), before);
        shell(folder.path(), unpack);
        assert_eq!(read("root/etc/own/file"), "changed\n");
        // With nothing kept it is the same.
        fs::remove_dir_all(&keep).unwrap();
        assert_eq!(write(&composition), second);
        // What comes of packages is not taken from what was kept of others.
        let before = written(&kept);
        put(&mut composition, "etc/of-package", "newer\n");
        assert_ne!(write(&composition), second);
        assert_ne!(written(&kept), before);
        shell(folder.path(), unpack);
        assert_eq!(read("root/etc/of-package"), "newer\n");
    }
}
