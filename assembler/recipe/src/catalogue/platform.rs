//! Platforms: what a step builds on and for.

use std::{collections::BTreeMap, fmt};

use crate::boxes::Architecture;

/// An OCI platform: `os/architecture` or `os/architecture/variant`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform(String);

impl Platform {
    /// Reads a platform; an architecture alone is one of Linux, and `x86_64` and `aarch64` are
    /// known by their OCI names.
    pub fn parse(text: &str) -> Option<Self> {
        let lower = text.trim().to_ascii_lowercase();
        let lower = if lower.contains('/') { lower } else { format!("linux/{lower}") };
        if !crate::package::is_platform(&lower) {
            return None;
        }
        let mut parts: Vec<&str> = lower.split('/').collect();
        parts[1] = match parts[1] {
            "x86_64" | "x86-64" => "amd64",
            "aarch64" => "arm64",
            "i386" => "386",
            other => other,
        };
        // Every arm64 is a v8; saying so changes nothing.
        if parts.len() == 3 && parts[1] == "arm64" && parts[2] == "v8" {
            parts.pop();
        }
        Some(Self(parts.join("/")))
    }

    /// Linux on `architecture`.
    pub fn linux(architecture: Architecture) -> Self {
        Self(format!("linux/{}", architecture.oci()))
    }

    /// The whole, such as `linux/amd64`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The operating system.
    pub fn os(&self) -> &str {
        self.part(0)
    }

    /// The architecture.
    pub fn architecture(&self) -> &str {
        self.part(1)
    }

    /// The variant, empty if there is none.
    pub fn variant(&self) -> &str {
        self.part(2)
    }

    fn part(&self, index: usize) -> &str {
        self.0.split('/').nth(index).unwrap_or_default()
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a build runs on and what it builds for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Platforms {
    /// What it builds for.
    pub target: Platform,
    /// What it runs on.
    pub build: Platform,
}

impl Platforms {
    /// Builds for and on the same platform.
    pub fn native(platform: Platform) -> Self {
        Self { target: platform.clone(), build: platform }
    }

    /// The arguments that are set in the global scope of every Containerfile: `TARGETPLATFORM`,
    /// `TARGETOS`, `TARGETARCH`, `TARGETVARIANT`, and the same of `BUILD`.
    pub fn arguments(&self) -> BTreeMap<String, String> {
        let mut arguments = BTreeMap::new();
        for (prefix, platform) in [("TARGET", &self.target), ("BUILD", &self.build)] {
            for (suffix, value) in [
                ("PLATFORM", platform.as_str()),
                ("OS", platform.os()),
                ("ARCH", platform.architecture()),
                ("VARIANT", platform.variant()),
            ] {
                arguments.insert(format!("{prefix}{suffix}"), value.to_owned());
            }
        }
        arguments
    }
}
