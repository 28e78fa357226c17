//! Addresses as recipes write them, and where their schemes lie.

use std::collections::BTreeMap;

use crate::Cause;

/// Where each scheme lies: `debian` → base addresses, tried in order.
///
/// A base is a URL (`http`, `https`, `file`) or a folder. The rest of an address is appended to
/// it, unless the base has placeholders: `{path}` for the rest, and `{name}` and `{version}` for
/// addresses of the form `name/version` as `crates:` has them.
pub type Mirrors = BTreeMap<String, Vec<String>>;

/// One address of a source as the recipe writes it: a URL, or a scheme and what follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// A complete `http`, `https` or `file` URL.
    Url(String),
    /// `scheme:rest`, which [`Mirrors`] makes complete.
    Scheme {
        /// The scheme, e.g. `debian`.
        scheme: String,
        /// What follows the colon.
        rest: String,
    },
}

impl Address {
    /// Reads an address.
    pub fn parse(text: &str) -> Result<Self, Cause> {
        let bad = |message: String| Cause::BadAddress { message };
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(bad(format!("{text:?} is neither a URL nor of the form scheme:path")));
        };
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+') {
            return Err(bad(format!("{text:?} does not begin with a scheme")));
        }
        match scheme {
            "http" | "https" | "file" if rest.starts_with("//") => Ok(Self::Url(text.to_owned())),
            "http" | "https" | "file" => Err(bad(format!("{text:?} lacks '//' behind its scheme"))),
            _ if rest.starts_with("//") => {
                Err(bad(format!("{scheme} is no protocol that stagex fetches by")))
            }
            _ if rest.split('/').any(|part| part == "..") => {
                Err(bad(format!("{text:?} has a component '..'")))
            }
            _ => Ok(Self::Scheme {
                scheme: scheme.to_owned(),
                rest: rest.trim_start_matches('/').to_owned(),
            }),
        }
    }

    /// The complete addresses this one stands for, in the order to try them.
    pub fn resolve(&self, mirrors: &Mirrors) -> Result<Vec<String>, Cause> {
        match self {
            Self::Url(url) => Ok(vec![url.clone()]),
            Self::Scheme { scheme, rest } => {
                let bases = mirrors.get(scheme).map(Vec::as_slice).unwrap_or_default();
                if bases.is_empty() {
                    return Err(Cause::NoMirror { message: no_mirror(scheme) });
                }
                Ok(bases.iter().map(|base| complete(base, rest)).collect())
            }
        }
    }
}

fn complete(base: &str, rest: &str) -> String {
    if base.contains('{') {
        let (name, version) = rest.split_once('/').unwrap_or((rest, ""));
        return base.replace("{path}", rest).replace("{name}", name).replace("{version}", version);
    }
    format!("{}/{rest}", base.trim_end_matches('/'))
}

fn no_mirror(scheme: &str) -> String {
    let mut text = format!(
        "no mirror is known for the scheme '{scheme}:'; set `{scheme} = [\"https://…\"]` under \
         [mirrors] in the user's configuration file, or the variable STAGEX_MIRROR_{}",
        scheme.to_uppercase()
    );
    if scheme == "debian" {
        text.push_str(" (any Debian mirror or snapshot archive will do)");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(pairs: &[(&str, &[&str])]) -> Mirrors {
        pairs
            .iter()
            .map(|(scheme, bases)| {
                (scheme.to_string(), bases.iter().map(|base| base.to_string()).collect())
            })
            .collect()
    }

    #[test]
    fn completes_schemes_in_order() {
        let mirrors = mirrors(&[
            ("debian", &["http://one.example/debian/", "file:///mnt/debian"]),
            ("crates", &["https://c.example/{name}/{name}-{version}.crate"]),
        ]);
        let debian = Address::parse("debian:pool/main/m/musl/musl_1.tar.gz").unwrap();
        assert_eq!(
            debian.resolve(&mirrors).unwrap(),
            [
                "http://one.example/debian/pool/main/m/musl/musl_1.tar.gz",
                "file:///mnt/debian/pool/main/m/musl/musl_1.tar.gz"
            ]
        );
        let krate = Address::parse("crates:serde/1.0.1").unwrap();
        assert_eq!(krate.resolve(&mirrors).unwrap(), ["https://c.example/serde/serde-1.0.1.crate"]);
    }

    #[test]
    fn an_unknown_scheme_names_the_key_to_set() {
        let error = Address::parse("debian:pool/x").unwrap().resolve(&Mirrors::new()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("[mirrors]") && text.contains("STAGEX_MIRROR_DEBIAN"), "{text}");
        assert!(text.contains("snapshot archive"), "{text}");
    }

    #[test]
    fn refuses_what_is_no_address() {
        for text in ["", "pool/x", ":x", "http:x", "ftp://x/y", "debian:../x", "a b:c"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Address::parse("https://example.org/a:b").unwrap(),
            Address::Url("https://example.org/a:b".to_owned())
        );
    }
}
