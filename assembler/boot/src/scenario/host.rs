//! What a scenario does on the host: keys by GnuPG, sticks by dosfstools and mtools.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use stagex_tree::Digest;
use tempfile::TempDir;

use super::{CheckKind, Key, Stick, StickFile, ssh};

/// The host's side of one run: a keyring of its own and the images of the sticks.
pub(super) struct Host {
    run: PathBuf,
    /// Short, for the agent's socket lies in it.
    keyring: TempDir,
    fingerprints: BTreeMap<String, String>,
    digests: BTreeMap<String, String>,
}

impl Host {
    /// Makes all keys and sticks.
    pub(super) fn new(run: &Path, keys: &[Key], sticks: &[Stick]) -> Result<Self, String> {
        let keyring = tempfile::Builder::new().prefix("stagex-boot-").tempdir_in("/tmp");
        let keyring = keyring.map_err(|error| format!("/tmp: {error}"))?;
        let run = run.to_owned();
        let mut host =
            Self { run, keyring, fingerprints: BTreeMap::new(), digests: BTreeMap::new() };
        for key in keys {
            host.make_key(key)?;
        }
        for stick in sticks {
            host.make_stick(stick, keys)?;
        }
        Ok(host)
    }

    /// The image of a stick.
    pub(super) fn image(&self, stick: &str) -> PathBuf {
        self.run.join(format!("stick-{stick}.img"))
    }

    /// The folder of this run's own keys, which is removed after it.
    pub(super) fn folder(&self) -> &Path {
        self.keyring.path()
    }

    /// What `${name}` stands for, where the host knows it.
    pub(super) fn value(&self, name: &str) -> Option<String> {
        match name.split_once(':')? {
            ("fingerprint", key) => self.fingerprints.get(key).cloned(),
            ("keyid", key) => {
                let fingerprint = self.fingerprints.get(key)?;
                Some(fingerprint[fingerprint.len().saturating_sub(16)..].to_owned())
            }
            ("spaced", key) => {
                let groups = self.fingerprints.get(key)?.as_bytes().chunks(4);
                let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
                Some(groups.join(" "))
            }
            ("sha256", file) => self.digests.get(file).cloned(),
            _ => None,
        }
    }

    fn gpg(&self, args: &[&str]) -> Result<String, String> {
        let mut all = vec!["--homedir".into(), OsString::from(self.keyring.path())];
        all.extend(["--batch", "--no-tty", "--quiet"].map(OsString::from));
        all.extend(args.iter().map(OsString::from));
        tool("gpg", "gnupg", all)
    }

    fn make_key(&mut self, key: &Key) -> Result<(), String> {
        let secret = ["--pinentry-mode", "loopback", "--passphrase", &key.passphrase];
        let make = ["--status-fd", "1", "--quick-generate-key", &key.user, "ed25519", "sign", "0"];
        let status = self.gpg(&[&secret[..], &make[..]].concat())?;
        let created = status.lines().find_map(|line| line.strip_prefix("[GNUPG:] KEY_CREATED "));
        let fingerprint = created
            .and_then(|rest| rest.split(' ').nth(1))
            .ok_or_else(|| format!("gpg does not say which key it made: {status}"))?;
        self.fingerprints.insert(key.name.clone(), fingerprint.to_owned());
        Ok(())
    }

    fn export(&self, keys: &[Key], name: &str, secret: bool) -> Result<String, String> {
        let fingerprint = &self.fingerprints[name];
        if !secret {
            return self.gpg(&["--armor", "--export", fingerprint]);
        }
        let passphrase = keys.iter().find(|key| key.name == name).map(|key| &*key.passphrase);
        let passphrase = passphrase.unwrap_or_default();
        self.gpg(&[
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            passphrase,
            "--armor",
            "--export-secret-keys",
            fingerprint,
        ])
    }

    fn make_stick(&mut self, stick: &Stick, keys: &[Key]) -> Result<(), String> {
        let image = self.image(&stick.name);
        format_fat(&image, u64::from(stick.megabytes) << 20, &stick.label)?;
        for (path, file) in &stick.files {
            let bytes = match file {
                StickFile::Text(text) => text.clone(),
                StickFile::SecretKey(key) => self.export(keys, key, true)?,
                StickFile::PublicKey(key) => self.export(keys, key, false)?,
                StickFile::SshKey(name) => {
                    let path = ssh::key(self.folder(), name)?.with_extension("pub");
                    fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?
                }
            };
            let name = format!("{}/{path}", stick.name);
            self.digests.insert(name, Digest::of(&bytes).hex());
            let source = self.run.join("stick-file");
            fs::write(&source, bytes).map_err(|e| format!("{}: {e}", source.display()))?;
            copy_in(&image, &source, path)?;
            fs::remove_file(&source).map_err(|e| format!("{}: {e}", source.display()))?;
        }
        Ok(())
    }

    /// Reads a file from a stick into the run's folder; none where it is not there.
    fn copy_out(&self, stick: &str, file: &str) -> Result<Option<PathBuf>, String> {
        let image = self.image(stick);
        // mtools matches names without regard to case, as FAT does; a missing one is an error.
        if mtool("mdir", &image, ["-b".into(), format!("::{file}").into()]).is_err() {
            // Tell a missing file from a broken stick.
            mtool("mdir", &image, ["-b".into(), "::".into()])?;
            return Ok(None);
        }
        let target = self.run.join(format!("from-{stick}-{}", file.replace('/', "-")));
        mtool("mcopy", &image, ["-n".into(), format!("::{file}").into(), target.clone().into()])?;
        Ok(Some(target))
    }

    fn need(&self, stick: &str, file: &str) -> Result<PathBuf, String> {
        self.copy_out(stick, file)?.ok_or_else(|| {
            let all = mtool("mdir", &self.image(stick), ["-b".into(), "-/".into(), "::".into()]);
            let all = all.unwrap_or_default().replace("::/", "");
            let all: Vec<&str> = all.lines().collect();
            format!("there is no file {file} on stick {stick}; it has {}", all.join(", "))
        })
    }

    /// Checks what a box has left; the error says what is not as it should be.
    pub(super) fn check(&self, check: &CheckKind) -> Result<(), String> {
        match check {
            CheckKind::Verify { stick, file, signature, key } => {
                let signed = self.need(stick, file)?;
                let signature = self.need(stick, signature)?;
                let paths = [&signature, &signed].map(|path| path.to_string_lossy());
                let status = self
                    .gpg(&["--status-fd", "1", "--verify", &paths[0], &paths[1]])
                    .map_err(|error| format!("the signature of {file} is not good: {error}"))?;
                let valid = format!("[GNUPG:] VALIDSIG {} ", self.fingerprints[key]);
                if !status.lines().any(|line| line.starts_with(&valid)) {
                    return Err(format!("the signature of {file} is by another key: {status}"));
                }
                Ok(())
            }
            CheckKind::Holds { stick, file, text } => {
                let path = self.need(stick, file)?;
                let bytes = fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
                if !String::from_utf8_lossy(&bytes).contains(text) {
                    return Err(format!("{file} on stick {stick} does not hold {text:?}"));
                }
                Ok(())
            }
            CheckKind::Lacks { stick, file } => match self.copy_out(stick, file)? {
                None => Ok(()),
                Some(_) => Err(format!("there is a file {file} on stick {stick}")),
            },
            CheckKind::Clean { stick } => {
                let image = self.image(stick);
                tool("fsck.fat", "dosfstools", vec!["-n".into(), image.into()])
                    .map(drop)
                    .map_err(|error| format!("stick {stick} was not unmounted: {error}"))
            }
        }
    }
}

impl Drop for Host {
    /// Ends the agent that gpg left in the background.
    fn drop(&mut self) {
        let home = OsString::from(self.keyring.path());
        let args = vec!["--homedir".into(), home, "--kill".into(), "all".into()];
        let _ = tool("gpgconf", "gnupg", args);
    }
}

/// Puts a UKI where firmware finds it on an EFI system partition without a partition table.
pub(super) fn make_esp(image: &Path, uki: &Path, boot_path: &str) -> Result<(), String> {
    let len = fs::metadata(uki).map_err(|e| format!("{}: {e}", uki.display()))?.len();
    // Room for FAT32's own structures, and no fewer clusters than it needs.
    format_fat(image, (len + len / 16 + (40 << 20)).next_multiple_of(1 << 20), "ESP")?;
    let mut folder = String::new();
    for part in boot_path.split('/').collect::<Vec<_>>().split_last().map_or(&[][..], |(_, p)| p) {
        folder = format!("{folder}/{part}");
        mtool("mmd", image, [format!("::{folder}").into()])?;
    }
    mtool("mcopy", image, [uki.into(), format!("::/{boot_path}").into()]).map(drop)
}

fn format_fat(image: &Path, size: u64, label: &str) -> Result<(), String> {
    let file = File::create(image).and_then(|file| file.set_len(size));
    file.map_err(|error| format!("{}: {error}", image.display()))?;
    let mut args: Vec<OsString> = ["-n", label, "-i", "57a6e001"].map(OsString::from).into();
    if size >= 40 << 20 {
        args.extend(["-F", "32"].map(OsString::from));
    }
    args.push(image.into());
    tool("mkfs.fat", "dosfstools", args).map(drop)
}

fn copy_in(image: &Path, source: &Path, path: &str) -> Result<(), String> {
    let mut folder = String::new();
    for part in path.split('/').collect::<Vec<_>>().split_last().map_or(&[][..], |(_, p)| p) {
        folder = format!("{folder}/{part}");
        // Made for an earlier file, perhaps; if not, the copy says so.
        let _ = mtool("mmd", image, ["-D".into(), "s".into(), format!("::{folder}").into()]);
    }
    mtool("mcopy", image, [source.into(), format!("::/{path}").into()]).map(drop)
}

fn mtool<const N: usize>(name: &str, image: &Path, args: [OsString; N]) -> Result<String, String> {
    let mut all = vec!["-i".into(), image.into()];
    all.extend(args);
    tool(name, "mtools", all)
}

/// Runs a tool of the host; the error has what it wrote, or the package that it is missing from.
pub(super) fn tool(name: &str, package: &str, args: Vec<OsString>) -> Result<String, String> {
    tool_reading(name, package, args, None)
}

/// As [`tool`], with a file as its standard input.
pub(super) fn tool_reading(
    name: &str,
    package: &str,
    args: Vec<OsString>,
    input: Option<&Path>,
) -> Result<String, String> {
    // Debian keeps some of them where an ordinary user's PATH does not look.
    let places = ["/usr/sbin", "/sbin"].map(|folder| Path::new(folder).join(name));
    // Not a path where it is a bare name: duct would look for that in the working folder.
    let program = places.into_iter().find(|path| path.is_file());
    let program = program.map_or_else(|| OsString::from(name), OsString::from);
    let command = duct::cmd(program, args)
        .env("LC_ALL", "C.UTF-8")
        .stdout_capture()
        .stderr_capture()
        .unchecked();
    let command = match input {
        Some(path) => {
            let file = File::open(path).map_err(|e| format!("{}: {e}", path.display()))?;
            command.stdin_file(file)
        }
        None => command.stdin_null(),
    };
    let output = command.run().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{name} is not installed: on Debian, install the package {package}")
        }
        _ => format!("{name}: {error}"),
    })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    Err(format!("{name} failed ({}): {}{}", output.status, text.trim(), errors.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sticks_and_keys_are_made_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let keys = [Key {
            name: "me".into(),
            user: "Me <me@example.org>".into(),
            passphrase: "a b".into(),
        }];
        let file = |text: &str| StickFile::Text(text.into());
        let sticks = [Stick {
            name: "data".into(),
            label: "DATA".into(),
            megabytes: 16,
            files: BTreeMap::from([
                ("letter.txt".into(), file("hello")),
                ("a/b/c.txt".into(), file("deep")),
                ("a/b/d.txt".into(), file("deeper")),
                ("secret.asc".into(), StickFile::SecretKey("me".into())),
                ("public.asc".into(), StickFile::PublicKey("me".into())),
            ]),
        }];
        let host = Host::new(folder.path(), &keys, &sticks).unwrap();
        let sha256 = host.value("sha256:data/letter.txt").unwrap();
        assert_eq!(sha256, Digest::of("hello").hex());
        assert_eq!(host.value("keyid:me").unwrap().len(), 16);
        assert_eq!(host.value("spaced:me").unwrap().len(), 49);
        assert!(host.value("fingerprint:me").unwrap().ends_with(&host.value("keyid:me").unwrap()));

        let data = || "data".to_owned();
        let holds = |file: &str, text: &str| {
            host.check(&CheckKind::Holds { stick: data(), file: file.into(), text: text.into() })
        };
        holds("a/b/d.txt", "deeper").unwrap();
        holds("secret.asc", "BEGIN PGP PRIVATE KEY BLOCK").unwrap();
        holds("public.asc", "BEGIN PGP PUBLIC KEY BLOCK").unwrap();
        assert!(holds("letter.txt", "bye").unwrap_err().contains("does not hold \"bye\""));
        let error = holds("nothing.txt", "").unwrap_err();
        assert!(error.contains("it has") && error.contains("a/b/c.txt"), "{error}");
        host.check(&CheckKind::Clean { stick: data() }).unwrap();
        host.check(&CheckKind::Lacks { stick: data(), file: "x.txt".into() }).unwrap();
        assert!(
            host.check(&CheckKind::Lacks { stick: data(), file: "letter.txt".into() }).is_err()
        );

        let verify = |file: &str| {
            host.check(&CheckKind::Verify {
                stick: data(),
                file: file.into(),
                signature: "letter.sig".into(),
                key: "me".into(),
            })
        };
        assert!(verify("letter.txt").unwrap_err().contains("no file letter.sig"));
        let letter = folder.path().join("letter");
        fs::write(&letter, "hello").unwrap();
        let secret = ["--pinentry-mode", "loopback", "--passphrase", "a b", "--yes"];
        let signature = folder.path().join("letter.sig");
        let paths = [&signature, &letter].map(|path| path.to_str().unwrap());
        host.gpg(&[&secret[..], &["-o", paths[0], "--detach-sign", paths[1]]].concat()).unwrap();
        copy_in(&host.image("data"), &signature, "letter.sig").unwrap();
        verify("letter.txt").unwrap();
        assert!(verify("a/b/c.txt").unwrap_err().contains("is not good"));

        // A flipped bit in the second FAT, which fsck compares with the first.
        let image = host.image("data");
        let mut bytes = fs::read(&image).unwrap();
        bytes[0x25] ^= 1; // "dirty", in the boot sector of FAT16
        bytes[512 * 4 + 20] ^= 0x55;
        fs::write(&image, bytes).unwrap();
        assert!(host.check(&CheckKind::Clean { stick: data() }).is_err());
    }

    #[test]
    fn a_missing_tool_is_named_with_its_package() {
        let error = tool("no-such-tool", "some-package", Vec::new()).unwrap_err();
        assert_eq!(
            error,
            "no-such-tool is not installed: on Debian, install the package some-package"
        );
    }
}
