//! An image: layers and a configuration.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stagex_tree::Digest;

/// Layers, bottom first, and how to run what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Image {
    /// The layers, bottom first.
    pub layers: Vec<Digest>,
    /// The configuration.
    pub config: ImageConfig,
}

/// An image's configuration (OCI image-spec, config.md). Empty values are left out of what is
/// written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ImageConfig {
    /// Environment, `NAME=value`, in the order in which the names were first set.
    pub env: Vec<String>,
    /// What is run always.
    pub entrypoint: Vec<String>,
    /// What is run, or the default arguments of the entry point.
    pub cmd: Vec<String>,
    /// `user`, `uid`, `user:group` or `uid:gid`; empty for root.
    pub user: String,
    /// The working directory; empty for the root.
    pub workdir: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The shell of instructions in shell form; empty for the default. Docker's extension.
    pub shell: Vec<String>,
    /// Ports, `8080/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// Paths of volumes.
    pub volumes: BTreeSet<String>,
    /// The signal that stops the container; empty for the default.
    pub stop_signal: String,
    /// Go's name of the architecture: `amd64`, `arm64`, `riscv64`.
    pub architecture: String,
    /// Go's name of the system: `linux`.
    pub os: String,
}

impl ImageConfig {
    /// The OCI configuration object of an image with these layers, made at `epoch`.
    pub(crate) fn to_oci(&self, layers: &[Digest], epoch: u64) -> Value {
        let mut run = Map::new();
        let mut put = |key: &str, value: Value, empty: bool| {
            if !empty {
                run.insert(key.to_owned(), value);
            }
        };
        let set = |names: &BTreeSet<String>| -> Value {
            names.iter().map(|name| (name.clone(), json!({}))).collect::<Map<_, _>>().into()
        };
        put("Env", json!(self.env), self.env.is_empty());
        put("Entrypoint", json!(self.entrypoint), self.entrypoint.is_empty());
        put("Cmd", json!(self.cmd), self.cmd.is_empty());
        put("User", json!(self.user), self.user.is_empty());
        put("WorkingDir", json!(self.workdir), self.workdir.is_empty());
        put("Labels", json!(self.labels), self.labels.is_empty());
        put("Shell", json!(self.shell), self.shell.is_empty());
        put("ExposedPorts", set(&self.exposed_ports), self.exposed_ports.is_empty());
        put("Volumes", set(&self.volumes), self.volumes.is_empty());
        put("StopSignal", json!(self.stop_signal), self.stop_signal.is_empty());
        let diff_ids: Vec<String> =
            layers.iter().map(|digest| format!("sha256:{digest}")).collect();
        json!({
            "architecture": self.architecture,
            "config": run,
            "created": rfc3339(epoch),
            "os": self.os,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        })
    }

    /// Reads an OCI configuration object; keys that stagex has no use for are passed over.
    pub(crate) fn from_oci(value: &Value) -> Self {
        let run = &value["config"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let list = |key: &str| -> Vec<String> {
            run[key].as_array().into_iter().flatten().map(text).collect()
        };
        let set = |key: &str| -> BTreeSet<String> {
            run[key].as_object().into_iter().flat_map(Map::keys).cloned().collect()
        };
        let labels = run["Labels"].as_object();
        Self {
            env: list("Env"),
            entrypoint: list("Entrypoint"),
            cmd: list("Cmd"),
            user: text(&run["User"]),
            workdir: text(&run["WorkingDir"]),
            labels: labels
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), text(value)))
                .collect(),
            shell: list("Shell"),
            exposed_ports: set("ExposedPorts"),
            volumes: set("Volumes"),
            stop_signal: text(&run["StopSignal"]),
            architecture: text(&value["architecture"]),
            os: text(&value["os"]),
        }
    }
}

/// Seconds since 1970 as RFC 3339 has it, in UTC.
pub(crate) fn rfc3339(epoch: u64) -> String {
    let (days, seconds) = (epoch / 86_400, epoch % 86_400);
    // Days from 0000-03-01, so that a leap day ends its year (Howard Hinnant, civil_from_days).
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..10 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        for (epoch, date) in [
            (0, "1970-01-01T00:00:00Z"),
            (1, "1970-01-01T00:00:01Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(epoch), date);
        }
    }

    #[test]
    fn configuration_round_trips() {
        let config = ImageConfig {
            env: vec!["B=1".into(), "A=2".into()],
            labels: BTreeMap::from([("z".into(), "1".into()), ("a".into(), "2".into())]),
            volumes: BTreeSet::from(["/v".into()]),
            architecture: "arm64".into(),
            os: "linux".into(),
            ..ImageConfig::default()
        };
        assert_eq!(ImageConfig::from_oci(&config.to_oci(&[], 1)), config);
    }
}
