//! The root file system as an OCI image: the packages' layers as they are, and one of the box's own.

use std::{collections::BTreeMap, io, path::Path};

use stagex_oci::{Image, ImageConfig, LayerTree, UNBOOTSTRAPPED, write_archive};
use stagex_tree::TreePath;

use crate::{Composition, Error, Writer, Written, write_aside};

/// Where programs are looked for.
const PATH: &str = "PATH=/usr/sbin:/usr/bin:/sbin:/bin";
/// What Linux starts first of a root file system, in the order in which it is looked for.
const INITS: [&str; 2] = ["init", "sbin/init"];

impl Composition {
    /// What the box adds to the layers of its packages.
    fn own_layer(&self) -> Result<LayerTree, Error> {
        let mut layer = LayerTree::new();
        for path in &self.own {
            if let Some(entry) = self.rootfs.get(path) {
                layer.insert(path.clone(), entry.inode.clone())?;
            }
        }
        layer.carry_parents(&self.rootfs);
        Ok(layer)
    }

    fn image_config(&self) -> ImageConfig {
        let has =
            |path: &&str| TreePath::new(*path).is_ok_and(|path| self.rootfs.get(&path).is_some());
        let init = INITS.iter().find(|path| has(path));
        let label = |name: &str, value: &str| {
            (format!("org.opencontainers.image.{name}"), value.to_owned())
        };
        ImageConfig {
            env: vec![PATH.to_owned()],
            cmd: init.map(|init| format!("/{init}")).into_iter().collect(),
            labels: BTreeMap::from([
                label("title", &self.name),
                label("version", &self.version),
                ("org.stagex.box".to_owned(), self.digest.hex()),
            ]),
            architecture: self.architecture.oci().to_owned(),
            os: "linux".to_owned(),
            ..ImageConfig::default()
        }
    }
}

impl Writer<'_> {
    /// An archive of an image layout, whose image is called by the box's name and version.
    pub(crate) fn oci(&self, path: &Path) -> Result<Written, Error> {
        let Composition { name, version, layers, seeds, .. } = self.composition;
        let own = self.store.add(&self.composition.own_layer()?)?;
        let image = Image {
            layers: layers.iter().copied().chain([own.digest]).collect(),
            config: self.composition.image_config(),
        };
        let mut notes = BTreeMap::new();
        if !seeds.is_empty() {
            let seeds: Vec<&str> = seeds.iter().map(String::as_str).collect();
            notes.insert(UNBOOTSTRAPPED.to_owned(), seeds.join(" "));
        }
        // A name that is given by people: `+` is not of a tag.
        let reference = format!("{}:{}", name, version.replace('+', "_"));
        let (sha256, len) = write_aside(path, |mut out| {
            write_archive(self.store, &[image], &mut out, &reference, &notes)
                .map(drop)
                .map_err(io::Error::other)
        })?;
        Ok(Written { path: path.to_owned(), sha256, len })
    }
}
