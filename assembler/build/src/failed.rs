//! What a failed step leaves, for a look inside.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use stagex_oci::{Root, Scratch, Store};
use stagex_sandbox::Spec;
use stagex_tree::Digest;

use crate::{Error, jobs, running::roots};

/// A failed step, as it was when its command ended. One is kept for each package.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failed {
    layers: Vec<String>,
    /// The command that failed.
    pub argv: Vec<String>,
    environment: Vec<(String, String)>,
    workdir: PathBuf,
    uid: u32,
    gid: u32,
}

fn folder(store: &Store, package: &str) -> PathBuf {
    store.path().join("failed").join(package)
}

fn root_name(package: &str) -> String {
    format!("failed-{package}")
}

impl Failed {
    /// Keeps what the step wrote, in place of what the package's last failure left.
    pub(crate) fn keep(
        store: &Store,
        package: &str,
        layers: &[Digest],
        spec: &Spec,
        _scratch: &Scratch,
    ) -> Result<(), Error> {
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        let failed = Self {
            layers: layers.iter().map(Digest::hex).collect(),
            argv: spec.argv.iter().map(|argument| text(argument)).collect(),
            environment: spec
                .env
                .iter()
                // A shell has no job server.
                .filter(|(_, value)| value != jobs::MAKEFLAGS)
                .map(|(name, value)| (text(name), text(value)))
                .collect(),
            workdir: spec.cwd.clone(),
            uid: spec.uid,
            gid: spec.gid,
        };
        Self::forget(store, package)?;
        let folder = folder(store, package);
        let keep = || -> io::Result<()> {
            fs::create_dir_all(&folder)?;
            fs::rename(&spec.upper, folder.join("upper"))?;
            fs::write(folder.join("step.json"), serde_json::to_vec_pretty(&failed)?)
        };
        keep().map_err(|error| Error::Io { path: folder.clone(), error })?;
        let roots: Vec<Root> = layers.iter().copied().map(Root::Layer).collect();
        Ok(store.put_roots(&root_name(package), &roots)?)
    }

    /// Removes what is kept of a package's failure, if anything.
    pub fn forget(store: &Store, package: &str) -> Result<(), Error> {
        let folder = folder(store, package);
        if folder.exists() {
            stagex_sandbox::remove_tree(&folder)
                .map_err(|error| Error::Io { path: folder.clone(), error })?;
        }
        Ok(store.remove_roots(&root_name(package))?)
    }

    /// What is kept of a package's failure.
    pub fn load(store: &Store, package: &str) -> Result<Option<Self>, Error> {
        let path = folder(store, package).join("step.json");
        let failed = |error| Error::Io { path: path.clone(), error };
        match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| failed(e.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// A shell in what the step left. What is changed there stays until the next failure.
    pub fn shell(&self, store: &Store, package: &str, scratch: &Scratch) -> Result<Spec, Error> {
        let mut layers = Vec::new();
        for layer in &self.layers {
            let digest = layer.parse().map_err(|error| Error::Io {
                path: folder(store, package),
                error: io::Error::new(io::ErrorKind::InvalidData, error),
            })?;
            layers.push(digest);
        }
        let roots = roots(store, &layers)?;
        let mut spec = shell_in(roots, &folder(store, package).join("upper"), scratch)?;
        spec.env = self.environment.iter().map(|(n, v)| (n.into(), v.into())).collect();
        spec.cwd.clone_from(&self.workdir);
        (spec.uid, spec.gid) = (self.uid, self.gid);
        Ok(spec)
    }
}

/// A shell on top of `layers`; what it changes goes to `upper`.
pub fn shell_in(layers: Vec<PathBuf>, upper: &Path, scratch: &Scratch) -> Result<Spec, Error> {
    let work = scratch.path().join("work");
    fs::create_dir(&work).map_err(|error| Error::Io { path: work.clone(), error })?;
    let mut spec = Spec::new(layers, upper, work, ["/bin/sh", "-i"]);
    spec.env = [
        ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        ("HOME", "/root"),
        ("TERM", "xterm"),
    ]
    .map(|(name, value)| (name.into(), value.into()))
    .into();
    Ok(spec)
}
