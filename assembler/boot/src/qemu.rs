//! Finds QEMU.

use std::{
    collections::BTreeSet,
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{Arch, BootError, Model};

/// The oldest version that takes every option used here. On riscv64, older ones look for UEFI in
/// the other flash.
fn needed(arch: Arch) -> (u32, u32) {
    match arch {
        Arch::X86_64 | Arch::Arm64 => (7, 0),
        Arch::Riscv64 => (8, 1),
    }
}

/// The program, and Debian's package of it.
fn names(arch: Arch) -> (&'static str, &'static str) {
    match arch {
        Arch::X86_64 => ("qemu-system-x86_64", "qemu-system-x86"),
        Arch::Arm64 => ("qemu-system-aarch64", "qemu-system-arm"),
        Arch::Riscv64 => {
            ("qemu-system-riscv64", "qemu-system-riscv, which Debian 12 has in its backports")
        }
    }
}

/// An installed QEMU for one architecture.
#[derive(Debug, Clone)]
pub struct Qemu {
    program: PathBuf,
    version: (u32, u32),
    arch: Arch,
    machines: BTreeSet<String>,
}

impl Qemu {
    /// Looks for QEMU in the folders of `path`, which is formed like the variable `PATH`.
    pub fn find(arch: Arch, path: &OsStr) -> Result<Self, BootError> {
        let (name, package) = names(arch);
        let program = env::split_paths(path)
            .filter(|folder| folder.is_absolute())
            .map(|folder| folder.join(name))
            .find(|program| program.is_file())
            .ok_or_else(|| BootError::NoQemu { program: name.to_owned(), package })?;
        let output = duct::cmd(&program, ["--version"])
            .stderr_to_stdout()
            .unchecked()
            .read()
            .map_err(|source| BootError::Spawn { source })?;
        let version = match parse_version(&output) {
            Some(version) if version >= needed(arch) => version,
            _ => {
                return Err(BootError::OldQemu {
                    program: name.to_owned(),
                    found: output.lines().next().unwrap_or("unknown").to_owned(),
                    needed: needed(arch),
                    package,
                });
            }
        };
        let list = duct::cmd(&program, ["-machine", "help"])
            .stderr_to_stdout()
            .unchecked()
            .read()
            .map_err(|source| BootError::Spawn { source })?;
        let machines = list.lines().filter_map(|line| line.split_whitespace().next());
        let found = Self { program, version, arch, machines: machines.map(Into::into).collect() };
        found.check(Model::Usual)?;
        Ok(found)
    }

    /// Refuses a kind of machine that this QEMU was built without.
    pub fn check(&self, model: Model) -> Result<(), BootError> {
        let machine = model.name(self.arch);
        if self.machines.contains(machine) {
            return Ok(());
        }
        let (program, package) = names(self.arch);
        Err(BootError::NoMachine { program: program.to_owned(), machine, package })
    }

    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Its major and minor version.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// The architecture that it emulates.
    pub fn arch(&self) -> Arch {
        self.arch
    }
}

/// The version in `QEMU emulator version 7.2.22 (Debian …)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_version_is_read() {
        let text = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)\nCopyright";
        assert_eq!(parse_version(text), Some((7, 2)));
        assert_eq!(parse_version("QEMU emulator version 10.0.0"), Some((10, 0)));
        assert_eq!(parse_version("version"), None);
    }

    #[test]
    fn what_is_missing_or_old_is_named_with_its_package() {
        let folder = tempfile::tempdir().unwrap();
        let error = Qemu::find(Arch::Riscv64, folder.path().as_os_str()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "qemu-system-riscv64 is not installed: on Debian, install the package \
             qemu-system-riscv, which Debian 12 has in its backports"
        );
        let program = folder.path().join("qemu-system-x86_64");
        std::fs::write(&program, "#!/bin/sh\necho 'QEMU emulator version 5.2.0'\n").unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let error = Qemu::find(Arch::X86_64, folder.path().as_os_str()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "qemu-system-x86_64 is QEMU emulator version 5.2.0, and version 7.0 or newer is \
             needed: on Debian, upgrade the package qemu-system-x86"
        );
    }

    #[test]
    fn a_qemu_that_lacks_a_machine_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("qemu-system-x86_64");
        let find = |machines: &str| {
            let script = format!(
                "#!/bin/sh\n[ $1 = --version ] && echo 'QEMU emulator version 9.1.0' || \
                 printf 'Supported machines are:\\n{machines}'\n"
            );
            // Written by another process: one that this forks elsewhere would hold it open.
            let aside = folder.path().join("script");
            std::fs::write(&aside, script).unwrap();
            let copied = std::process::Command::new("install").arg(&aside).arg(&program).status();
            assert!(copied.unwrap().success());
            Qemu::find(Arch::X86_64, folder.path().as_os_str())
        };
        let error = find("isapc   ISA-only PC\\nq35x  no\\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "qemu-system-x86_64 was built without the machine q35: install a QEMU that has it, on \
             Debian the package qemu-system-x86"
        );
        let qemu = find("pc  x\\nq35     Standard PC (alias of pc-q35-9.1)\\n").unwrap();
        let error = qemu.check(Model::Microvm).unwrap_err().to_string();
        assert!(error.contains("without the machine microvm"), "{error}");
    }
}
