//! Folders of local files, for building without a network.

use std::path::{Path, PathBuf};

use crate::Address;

/// The places in `folder` where the source could lie, in the order to look: by its digest, as the
/// sources of another machine's cache or that whole cache have it, by its file name, and by its
/// address as in a mirror tree (`pool/main/…`, with or without the scheme or host as first folder).
pub(crate) fn places(folder: &Path, file: &str, hex: &str, addresses: &[String]) -> Vec<PathBuf> {
    let below = Path::new(&hex[..2]).join(hex);
    let mut places =
        vec![folder.join(hex), folder.join(&below), folder.join("sources").join(&below)];
    let mut add = |relative: &str| {
        let safe = !relative.is_empty()
            && relative.split('/').all(|part| !matches!(part, "" | "." | ".."));
        let path = folder.join(relative);
        if safe && !places.contains(&path) {
            places.push(path);
        }
    };
    add(file);
    for address in addresses {
        match Address::parse(address) {
            Ok(Address::Scheme { scheme, rest }) => {
                add(&rest);
                add(&format!("{scheme}/{rest}"));
            }
            Ok(Address::Url(url)) => {
                if let Some((_, rest)) = url.split_once("://") {
                    add(rest);
                    if let Some(name) = rest.rsplit('/').next() {
                        add(name);
                    }
                }
            }
            Err(_) => {}
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_by_digest_name_and_address_and_never_outside() {
        let places = places(
            Path::new("/m"),
            "a.tar",
            "0123",
            &[
                "debian:pool/a_1.orig.tar".to_owned(),
                "https://h.example/x/a-1.tar".to_owned(),
                "https://h.example/../../etc/passwd".to_owned(),
            ],
        );
        let shown: Vec<_> = places.iter().map(|place| place.to_str().unwrap()).collect();
        assert_eq!(
            shown,
            [
                "/m/0123",
                "/m/01/0123",
                "/m/sources/01/0123",
                "/m/a.tar",
                "/m/pool/a_1.orig.tar",
                "/m/debian/pool/a_1.orig.tar",
                "/m/h.example/x/a-1.tar",
                "/m/a-1.tar",
                "/m/passwd",
            ]
        );
    }
}
