//! The firmware that a box is booted with: built, written out, and an output by itself.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use stagex_boot::{Bios, Uefi};
use stagex_boxes::{BiosFirmware, Firmware};
use stagex_recipe::boxes::{Architecture, BoxRecipe};
use stagex_tree::{Digest, Tree};

use crate::{
    commands::{
        box_lock::{Digests, Line},
        boxes, build,
    },
    config::shown,
    failure::Failure,
    progress::mib,
    project::BoxFolder,
    session::Session,
};

/// What firmware is called behind a box's name.
const SUFFIX: &str = ".fd";

/// The firmware with Secure Boot that a box is tried with, as files of this machine; its variables
/// hold no keys.
pub(crate) fn write_out_secure(
    session: &Session,
    recipe: &BoxRecipe,
    seeds: &mut BTreeSet<String>,
) -> Result<Option<Uefi>, Failure> {
    let Some(package) = &recipe.secure else { return Ok(None) };
    let architecture = Architecture::X86_64;
    let folder = session.project.out().join("firmware").join("secure");
    let tree = tree(session, &recipe.name.value, architecture, &package.value, seeds)?;
    let Firmware { code, vars, below } =
        Firmware::write(&tree, &package.value, &folder).map_err(Failure::failed)?;
    Ok(Some(Uefi { code, vars, below }))
}

/// The firmware of one architecture, as files of this machine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Both {
    pub(crate) uefi: Option<Uefi>,
    pub(crate) bios: Option<Bios>,
    /// The foreign seeds that it was built with.
    pub(crate) seeds: BTreeSet<String>,
}

impl Both {
    /// Whether it is that of a machine without buses: there is no UEFI, and no BIOS either, which
    /// would need one for its screen.
    pub(crate) fn is_bare(&self, architecture: Architecture) -> bool {
        self.uefi.is_none()
            && match &self.bios {
                Some(bios) => bios.vga.is_none(),
                None => architecture != Architecture::X86_64,
            }
    }
}

/// Builds the firmware that a box is booted with, and writes it to out/firmware/.
pub(crate) fn write_out(
    session: &Session,
    name: &str,
    architecture: Architecture,
) -> Result<Both, Failure> {
    let BoxFolder { recipe, .. } = session.project.load_box(name)?;
    let folder = session.project.out().join("firmware").join(architecture.name());
    let mut both = Both::default();
    if let Some(package) = recipe.firmware.get(&architecture) {
        let tree = tree(session, name, architecture, &package.value, &mut both.seeds)?;
        let firmware = Firmware::write(&tree, &package.value, &folder).map_err(Failure::failed)?;
        let Firmware { code, vars, below } = firmware;
        both.uefi = Some(Uefi { code, vars, below });
    }
    if let Some(package) = recipe.bios.filter(|_| architecture == Architecture::X86_64) {
        let tree = tree(session, name, architecture, &package.value, &mut both.seeds)?;
        let bios = BiosFirmware::write(&tree, &package.value, &folder).map_err(Failure::failed)?;
        both.bios = Some(Bios { image: bios.image, vga: bios.vga });
    }
    Ok(both)
}

fn tree(
    session: &Session,
    name: &str,
    architecture: Architecture,
    package: &str,
    seeds: &mut BTreeSet<String>,
) -> Result<Tree, Failure> {
    let targets = BTreeSet::from([package.to_owned()]);
    let built = boxes::build_packages(session, &format!("{name}-firmware"), architecture, targets)?;
    seeds.extend(built.values().flat_map(|built| built.seeds.iter().cloned()));
    let layers = built.values().flat_map(|built| built.layers.iter().copied());
    Ok(session.store.merged(&layers.collect::<Vec<_>>())?)
}

/// Whether a box names firmware for an architecture.
pub(crate) fn has(recipe: &BoxRecipe, architecture: Architecture) -> bool {
    let of_bios = recipe.bios.is_some() && architecture == Architecture::X86_64;
    of_bios || recipe.firmware.contains_key(&architecture)
}

/// The packages of the firmware that a box names for an architecture.
pub(crate) fn packages(recipe: &BoxRecipe, architecture: Architecture) -> BTreeSet<String> {
    let of_x86 = [&recipe.bios, &recipe.secure].into_iter().flatten();
    of_x86
        .filter(|_| architecture == Architecture::X86_64)
        .chain(recipe.firmware.get(&architecture))
        .map(|package| package.value.clone())
        .collect()
}

/// The box whose firmware a name like `airgap.fd` means; an error where it has none.
pub(crate) fn of_box(
    session: &Session,
    text: &str,
    architecture: Architecture,
) -> Result<Option<String>, Failure> {
    let Some(name) = text.strip_suffix(SUFFIX) else { return Ok(None) };
    if has(&session.project.load_box(name)?.recipe, architecture) {
        return Ok(Some(name.to_owned()));
    }
    Err(Failure::wrong(format!(
        "the box {name} names no firmware for {architecture}\nhelp: write {architecture} = \
         \"firmware-edk2-{architecture}\" in its [firmware]"
    )))
}

/// Writes the firmware of a box that [`has`] some beside its outputs, and reports it.
pub(crate) fn emit(
    session: &Session,
    box_name: &str,
    architecture: Architecture,
) -> Result<Digests, Failure> {
    let Both { uefi, bios, mut seeds } = write_out(session, box_name, architecture)?;
    let BoxFolder { recipe, .. } = session.project.load_box(box_name)?;
    let secure = match architecture {
        Architecture::X86_64 => write_out_secure(session, &recipe, &mut seeds)?,
        _ => None,
    };
    let mut files: Vec<(&str, PathBuf)> = Vec::new();
    if let Some(Uefi { code, vars, below }) = uefi {
        files.extend([("code.fd", code), ("vars.fd", vars)]);
        files.extend(below.map(|below| ("opensbi.bin", below)));
    }
    if let Some(Uefi { code, vars, .. }) = secure {
        files.extend([("secure-code.fd", code), ("secure-vars.fd", vars)]);
    }
    if let Some(Bios { image, vga }) = bios {
        files.push(("bios.bin", image));
        files.extend(vga.map(|vga| ("vgabios.bin", vga)));
    }
    let out = session.project.out();
    let mut digests = Digests::new();
    for (suffix, from) in files {
        let path = out.join(architecture.name()).join(format!("{box_name}.{suffix}"));
        let (digest, len) = copy(&from, &path)?;
        println!("{}", shown(&path));
        println!("  size    {:.1} MiB ({len} bytes)", mib(len));
        println!("  sha256  {digest}");
        if !seeds.is_empty() {
            println!("  note   {}", build::marks(&seeds));
        }
        digests.insert(Line::new(&seeds, &out, &path), digest.hex());
    }
    Ok(digests)
}

fn copy(from: &Path, to: &Path) -> Result<(Digest, u64), Failure> {
    let bytes = fs::read(from).map_err(Failure::at(from))?;
    stagex_boxes::write_aside(to, |file| file.write_all(&bytes)).map_err(Failure::failed)
}
