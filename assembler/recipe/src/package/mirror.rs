//! Where sources can be had.

use std::fmt;

/// Where a source can be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mirror {
    /// A whole address: `https://…`, `http://…`, `ftp://…` or `file://…`.
    Url(String),
    /// A path below a place that `[mirrors]` or the user names: `debian:pool/main/…`.
    Scheme {
        /// The place's name: `debian`, `gnu`, `kernel`, `crates`, …
        scheme: String,
        /// The path below it.
        path: String,
    },
}

impl fmt::Display for Mirror {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => f.write_str(url),
            Self::Scheme { scheme, path } => write!(f, "{scheme}:{path}"),
        }
    }
}

impl Mirror {
    /// Reads an address; the error says what is wrong and what to do.
    pub(super) fn parse(text: &str) -> Result<Self, (String, String)> {
        let error = |message: String, help: &str| Err((message, help.to_owned()));
        if let Some(bad) = text.chars().find(|c| c.is_control() || c.is_whitespace()) {
            return error(format!("an address cannot hold {bad:?}"), "write it as %20 or the like");
        }
        let known = "write https://…, or a scheme such as debian:pool/main/…";
        if let Some((scheme, rest)) = text.split_once("://") {
            if !matches!(scheme, "https" | "http" | "ftp" | "file") {
                return error(format!("sources cannot be had by {scheme}://"), known);
            }
            let host = rest.split('/').next().unwrap_or_default();
            if (host.is_empty() && scheme != "file") || rest.is_empty() {
                return error("this address has no host".to_owned(), known);
            }
            return Ok(Self::Url(text.to_owned()));
        }
        let Some((scheme, path)) = text.split_once(':') else {
            return error("this is no address".to_owned(), known);
        };
        if !is_scheme(scheme) {
            return error(format!("`{scheme}` cannot name a scheme"), known);
        }
        let parts_fit = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !parts_fit {
            let help = "write the path below the mirror's root, without .., // or a leading /";
            return error(format!("`{path}` is no path on a mirror"), help);
        }
        if scheme == "crates" && path.split('/').count() != 2 {
            return error(format!("`{path}` is no crate"), "write crates:name/version");
        }
        Ok(Self::Scheme { scheme: scheme.to_owned(), path: path.to_owned() })
    }

    /// The name of the file that it gives, which is the end of its path.
    pub(super) fn file_name(&self) -> String {
        let last = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        match self {
            Self::Url(url) => {
                let path = url.split(['?', '#']).next().unwrap_or_default();
                let (_, path) = path.split_once("://").unwrap_or_default();
                path.split_once('/').map(|(_, path)| last(path)).unwrap_or_default()
            }
            Self::Scheme { scheme, path } if scheme == "crates" => {
                format!("{}.crate", path.replace('/', "-"))
            }
            Self::Scheme { path, .. } => last(path),
        }
    }
}

/// Whether `text` can name a scheme: a lower-case letter, then letters, digits, `-` and `+`.
pub(crate) fn is_scheme(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|byte| byte.is_ascii_lowercase())
        && bytes
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-+".contains(&byte))
}
