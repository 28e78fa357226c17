//! Steps over the network: what a box answers to whoever has the right SSH key.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;

use super::host::{tool, tool_reading};

/// The port that a box listens on.
pub(super) const PORT: u16 = 22;

/// A command that is run on the box by SSH, as its user `root`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    /// The key of the test that is offered.
    pub key: String,
    /// The command.
    pub command: String,
    /// What its output must hold.
    #[serde(default)]
    pub expect: Option<String>,
    /// Whether the box must turn the key away instead.
    #[serde(default)]
    pub refused: bool,
    /// Whether the image that the box was started from is the command's standard input.
    #[serde(default)]
    pub image: bool,
}

/// Makes a key in `folder`, if it is not there, and returns the path of its secret part; the
/// public part is beside it, with the suffix `.pub`.
pub(super) fn key(folder: &Path, name: &str) -> Result<PathBuf, String> {
    let path = folder.join(format!("ssh-{name}"));
    if !path.exists() {
        let comment = format!("{name}@test");
        let args = ["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"].map(OsString::from);
        let args = args.into_iter().chain([path.clone().into()]).collect();
        tool("ssh-keygen", "openssh-client", args)?;
    }
    Ok(path)
}

/// Runs a command by way of a port of this machine. `ssh` is as the scenario has it, with `${…}`
/// filled in; `folder` is the test's own, where the box's host key is remembered: another one on
/// a later connection is an error. The command reads `input`, or nothing.
pub(super) fn run(
    ssh: &Ssh,
    folder: &Path,
    port: u16,
    input: Option<&Path>,
    timeout: Duration,
) -> Result<(), String> {
    let key = key(folder, &ssh.key)?;
    let known = folder.join("ssh-known-hosts");
    let seconds = timeout.as_secs().max(1).to_string();
    let option = |name: &str, value: &std::ffi::OsStr| {
        let mut text = OsString::from(format!("{name}="));
        text.push(value);
        [OsString::from("-o"), text]
    };
    let mut args: Vec<OsString> = vec![seconds.clone().into(), "ssh".into()];
    args.extend(["-F", "/dev/null", "-T", "-p"].map(OsString::from));
    args.push(port.to_string().into());
    args.extend([OsString::from("-i"), key.into()]);
    for (name, value) in [
        ("BatchMode", "yes".as_ref()),
        ("IdentitiesOnly", "yes".as_ref()),
        ("IdentityAgent", "none".as_ref()),
        ("StrictHostKeyChecking", "accept-new".as_ref()),
        ("HostKeyAlias", "box".as_ref()),
        ("GlobalKnownHostsFile", "/dev/null".as_ref()),
        ("UserKnownHostsFile", known.as_os_str()),
        ("ConnectTimeout", seconds.as_ref()),
    ] {
        args.extend(option(name, value));
    }
    args.extend(["root@127.0.0.1".into(), OsString::from(&ssh.command)]);
    // `timeout` ends what would hang; ssh knows no limit but for connecting.
    let output = tool_reading("timeout", "coreutils", args, input);
    match (output, &ssh.expect) {
        (Err(error), _) if ssh.refused && error.contains("Permission denied (publickey)") => Ok(()),
        (Err(error), _) => Err(error.replacen("timeout failed", "ssh failed", 1)),
        (Ok(output), _) if ssh.refused => {
            Err(format!("the key {} is let in, and the command says {output:?}", ssh.key))
        }
        (Ok(output), Some(expect)) if !output.contains(expect.as_str()) => {
            Err(format!("the command says {output:?}, which does not hold {expect:?}"))
        }
        (Ok(_), _) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_a_port_without_a_server_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = key(folder.path(), "admin").unwrap();
        let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" admin@test\n"));
        key(folder.path(), "admin").unwrap();
        assert_eq!(std::fs::read_to_string(path.with_extension("pub")).unwrap(), public);

        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut ssh = Ssh { key: "admin".into(), command: "true".into(), ..Ssh::default() };
        for refused in [false, true] {
            ssh.refused = refused;
            let error = run(&ssh, folder.path(), port, None, Duration::from_secs(20)).unwrap_err();
            assert!(error.contains("Connection refused"), "{error}");
        }
    }
}
