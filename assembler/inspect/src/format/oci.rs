//! Folders of the host, among them OCI image layouts (image-spec 1.1, `image-layout.md`).

use std::{
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;

use crate::{
    bytes::Bytes,
    context::Context,
    error::{Error, Result, invalid},
    node::{Kind, List, Meta, Node},
};

/// The most bytes of an attribute, and of the list of their names, that Linux allows.
const MAX_XATTR: usize = 64 << 10;
/// The most bytes of an index, a manifest or a configuration.
const MAX_JSON: u64 = 16 << 20;
/// How many indexes may lead to one another.
const MAX_INDEXES: u32 = 8;

/// A folder of the host as a node; an OCI image layout by its images and their layers.
pub fn folder(path: &Path) -> Node {
    let name = path.file_name().unwrap_or(path.as_os_str()).as_bytes().to_vec();
    let mut node = Node::new(name, Kind::Folder);
    node.list = if path.join("oci-layout").is_file() && path.join("index.json").is_file() {
        Some(Arc::new(Layout(path.to_owned())))
    } else {
        Some(Arc::new(Host(path.to_owned())))
    };
    node
}

struct Host(PathBuf);

impl List for Host {
    fn list(&self, context: &Context) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let (path, metadata) = (entry.path(), entry.path().symlink_metadata()?);
            let kind = Kind::from_mode(metadata.mode())
                .ok_or_else(|| io::Error::other("a file of unknown type"))?;
            let mut node = if kind == Kind::Folder { folder(&path) } else { Node::new("", kind) };
            node.name = entry.file_name().as_bytes().to_vec();
            node.meta = Meta {
                mode: Some(metadata.mode() & 0o7777),
                owner: Some((metadata.uid(), metadata.gid())),
                mtime: Some((metadata.mtime(), metadata.mtime_nsec() as u32)),
                links: Some(metadata.nlink())
                    .filter(|links| kind != Kind::Folder && *links > 1)
                    .map(|links| links as u32),
                device: matches!(kind, Kind::CharDevice | Kind::BlockDevice).then(|| {
                    let device = metadata.rdev();
                    (rustix::fs::major(device), rustix::fs::minor(device))
                }),
                xattrs: xattrs(&path)?,
                ..Meta::default()
            };
            match kind {
                Kind::File => node.bytes = Some(Bytes::lazy(path, metadata.len())),
                Kind::Symlink => {
                    node.meta.target = Some(fs::read_link(&path)?.as_os_str().as_bytes().to_vec());
                }
                _ => {}
            }
            nodes.push(node);
            context.check_entries(nodes.len())?;
        }
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(nodes)
    }
}

/// The extended attributes of a file, by name; none where the file system has none.
fn xattrs(path: &Path) -> io::Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut names = vec![0; MAX_XATTR];
    let len = match rustix::fs::llistxattr(path, &mut names[..]) {
        Ok(len) => len,
        Err(rustix::io::Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error.into()),
    };
    let mut found = Vec::new();
    for name in names[..len].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; MAX_XATTR];
        let len = rustix::fs::lgetxattr(path, name, &mut value[..])?;
        value.truncate(len);
        found.push((name.to_vec(), value));
    }
    found.sort();
    Ok(found)
}

struct Layout(PathBuf);

impl List for Layout {
    fn list(&self, context: &Context) -> Result<Vec<Node>> {
        let mut nodes = Vec::new();
        let index = file(&self.0.join("index.json"))?;
        self.index(context, &json(&index)?, 0, &mut nodes)?;
        nodes.insert(0, Node::with_bytes("index.json", Kind::File, index));
        Ok(nodes)
    }
}

impl Layout {
    fn index(
        &self,
        context: &Context,
        index: &Value,
        depth: u32,
        nodes: &mut Vec<Node>,
    ) -> Result<()> {
        if depth > MAX_INDEXES {
            return Err(Error::Limit { what: "nested indexes", limit: MAX_INDEXES.into() });
        }
        for descriptor in list(index, "manifests") {
            let bytes = self.blob(descriptor)?;
            let value = json(&bytes)?;
            if value.get("manifests").is_some() {
                self.index(context, &value, depth + 1, nodes)?;
                continue;
            }
            let name = descriptor
                .pointer("/annotations/org.opencontainers.image.ref.name")
                .and_then(Value::as_str)
                .map_or_else(
                    || format!("image-{}", nodes.len() + 1),
                    |name| name.replace('/', "_"),
                );
            let mut parts = vec![Node::with_bytes("manifest.json", Kind::File, bytes)];
            if let Some(config) = value.get("config") {
                parts.push(Node::with_bytes("config.json", Kind::File, self.blob(config)?));
            }
            for (number, layer) in list(&value, "layers").iter().enumerate() {
                let name = format!("layer-{}", number + 1);
                let node = Node::with_bytes(name, Kind::Part, self.blob(layer)?)
                    .note("digest", digest(layer)?)
                    .note("type", layer["mediaType"].as_str().unwrap_or(""));
                parts.push(node);
            }
            let mut node = Node::folder(name, parts).note("digest", digest(descriptor)?);
            if let Some(platform) = descriptor.get("platform") {
                node = node.note("platform", platform);
            }
            nodes.push(node);
            context.check_entries(nodes.len())?;
        }
        Ok(())
    }

    fn blob(&self, descriptor: &Value) -> Result<Bytes> {
        let digest = digest(descriptor)?;
        let parts = digest.split_once(':').filter(|(algorithm, hex)| {
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            !algorithm.is_empty() && !hex.is_empty() && plain(algorithm) && plain(hex)
        });
        let Some((algorithm, hex)) = parts else {
            return Err(invalid("oci", format!("{digest:?} is no digest")));
        };
        file(&self.0.join("blobs").join(algorithm).join(hex))
    }
}

fn digest(descriptor: &Value) -> Result<&str> {
    descriptor["digest"].as_str().ok_or_else(|| invalid("oci", "a descriptor without a digest"))
}

fn list<'v>(value: &'v Value, name: &str) -> &'v [Value] {
    value.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn json(bytes: &Bytes) -> Result<Value> {
    if bytes.len() > MAX_JSON {
        return Err(Error::Limit { what: "bytes of JSON", limit: MAX_JSON });
    }
    let text = bytes.vec(0, bytes.len() as usize)?;
    serde_json::from_slice(&text).map_err(|error| invalid("oci", error.to_string()))
}

fn file(path: &Path) -> Result<Bytes> {
    let at =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let metadata = fs::metadata(path).map_err(at)?;
    if !metadata.is_file() {
        return Err(invalid("oci", format!("{} is no file", path.display())));
    }
    Ok(Bytes::lazy(path.to_owned(), metadata.len()))
}
