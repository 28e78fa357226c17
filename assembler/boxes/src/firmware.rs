//! The firmware that a box is booted with.

use std::path::{Path, PathBuf};

use stagex_tree::{Tree, TreePath};

use crate::{Error, write_aside};

/// Where a firmware package has its files.
const FOLDER: &str = "usr/share/firmware";
/// The code, an empty store of UEFI variables, and what runs below UEFI on RISC-V.
const CODE: &str = "_CODE.fd";
const VARS: &str = "_VARS.fd";
const BELOW: &str = "OPENSBI.bin";

/// A BIOS and that of a graphics adapter.
const BIOS: &str = "SEABIOS.bin";
const VGA: &str = "VGABIOS_STDVGA.bin";
/// What starts a kernel on a machine without buses, in a BIOS's place.
const MICROVM: &str = "MICROVM.bin";

/// A BIOS as files of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiosFirmware {
    /// The BIOS.
    pub image: PathBuf,
    /// That of the graphics adapter, where the machine may have one.
    pub vga: Option<PathBuf>,
}

impl BiosFirmware {
    /// Writes the BIOS of `package`, whose files are in `tree`, to `folder`.
    ///
    /// The error names what the package lacks.
    pub fn write(tree: &Tree, package: &str, folder: &Path) -> Result<Self, Error> {
        if let Some(image) = one(tree, folder, MICROVM)? {
            return Ok(Self { image, vga: None });
        }
        Ok(Self {
            image: needed(tree, package, folder, BIOS, "a BIOS")?,
            vga: Some(needed(tree, package, folder, VGA, "the BIOS of a graphics adapter")?),
        })
    }
}

/// Writes the first file of a package whose name ends in `suffix`.
fn one(tree: &Tree, folder: &Path, suffix: &str) -> Result<Option<PathBuf>, Error> {
    let top = TreePath::new(FOLDER)?;
    let named = |path: &TreePath| path.name().ends_with(suffix.as_bytes());
    let found = tree.subtree(&top).find(|entry| named(entry.path));
    let Some(content) = found.and_then(|entry| entry.inode.content()) else {
        return Ok(None);
    };
    let path = folder.join(suffix.trim_start_matches('_'));
    write_aside(&path, |out| content.copy_to(out))?;
    Ok(Some(path))
}

fn needed(
    tree: &Tree,
    package: &str,
    folder: &Path,
    suffix: &str,
    what: &'static str,
) -> Result<PathBuf, Error> {
    one(tree, folder, suffix)?.ok_or_else(|| Error::NoFirmware {
        package: package.to_owned(),
        place: format!("{FOLDER}/*{suffix}"),
        what,
    })
}

/// Firmware as files of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firmware {
    /// The code of UEFI.
    pub code: PathBuf,
    /// Its variables as they are at first.
    pub vars: PathBuf,
    /// What runs below it, in RISC-V's machine mode.
    pub below: Option<PathBuf>,
}

impl Firmware {
    /// Writes the firmware of `package`, whose files are in `tree`, to `folder`.
    ///
    /// The error names what the package lacks.
    pub fn write(tree: &Tree, package: &str, folder: &Path) -> Result<Self, Error> {
        Ok(Self {
            code: needed(tree, package, folder, CODE, "the code of UEFI")?,
            vars: needed(tree, package, folder, VARS, "UEFI's variables as they are at first")?,
            below: one(tree, folder, BELOW)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use stagex_tree::{Content, Inode, Kind, Metadata};

    use super::*;

    fn add(tree: &mut Tree, name: &str) {
        for parent in ["usr", "usr/share", FOLDER] {
            let directory = Inode { metadata: Metadata::new(0o755), kind: Kind::Directory };
            tree.insert(TreePath::new(parent).unwrap(), directory).unwrap();
        }
        let kind = Kind::File(Content::from_bytes(name.as_bytes()));
        let path = TreePath::new(format!("{FOLDER}/{name}")).unwrap();
        tree.insert(path, Inode { metadata: Metadata::new(0o644), kind }).unwrap();
    }

    #[test]
    fn files_are_found_by_their_suffix_and_what_lacks_is_named() {
        let mut tree = Tree::new();
        add(&mut tree, "RISCV_VIRT_CODE.fd");
        add(&mut tree, "OPENSBI.bin");
        let folder = tempfile::tempdir().unwrap();
        let write = |tree: &Tree| Firmware::write(tree, "firmware-x", folder.path());
        assert_eq!(
            write(&tree).unwrap_err().to_string(),
            "package firmware-x has no usr/share/firmware/*_VARS.fd, UEFI's variables as they \
             are at first"
        );
        add(&mut tree, "RISCV_VIRT_VARS.fd");
        let firmware = write(&tree).unwrap();
        assert_eq!(std::fs::read(firmware.code).unwrap(), b"RISCV_VIRT_CODE.fd");
        assert_eq!(std::fs::read(firmware.below.unwrap()).unwrap(), b"OPENSBI.bin");
    }
}
