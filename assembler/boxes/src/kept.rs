//! What is made slowly and seldom changes, kept for the next time.

use std::{
    fs::File,
    io::{self, Seek as _, Write},
    path::Path,
};

use stagex_tree::Digest;

use crate::{Error, Stamp, file::write_scratch, fresh, write_aside};

/// Gives the file that `make` writes from `inputs`: what is kept of it in `place`, if that is still
/// as it was written; else it is made in `scratch`, and kept.
pub(crate) fn kept(
    place: &Path,
    inputs: &Digest,
    scratch: &Path,
    make: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<File, Error> {
    if let Some(file) = found(place, inputs) {
        return Ok(file);
    }
    let (digest, _) = write_scratch(scratch, make)?;
    let mut file = File::open(scratch).map_err(Error::at(scratch))?;
    write_aside(place, |out| io::copy(&mut file, out).map(drop))?;
    Stamp::record(place, inputs, &digest, inputs)?;
    file.rewind().map_err(Error::at(scratch))?;
    Ok(file)
}

/// The file, if all of it is what the stamp says. Whoever replaces it does not change what was
/// opened.
fn found(place: &Path, inputs: &Digest) -> Option<File> {
    let stamp = fresh(place, inputs)?;
    let mut file = File::open(place).ok()?;
    let (digest, _) = Digest::of_reader(&file).ok()?;
    file.rewind().ok()?;
    (digest.hex() == stamp.sha256).then_some(file)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Read as _};

    use super::*;

    #[test]
    fn what_is_kept_is_made_once_and_again_when_it_was_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (place, scratch) = (folder.path().join("kept"), folder.path().join("scratch"));
        let get = |inputs: &str, makes: Option<&str>| {
            let file = kept(&place, &Digest::of(inputs), &scratch, |out| {
                out.write_all(makes.expect("it is made again").as_bytes())
            });
            let mut text = String::new();
            file.unwrap().read_to_string(&mut text).unwrap();
            text
        };
        assert_eq!(get("1", Some("one")), "one");
        assert_eq!(get("1", None), "one");
        assert_eq!(get("2", Some("two")), "two");
        assert_eq!(get("2", None), "two");
        // As long, and stamped as it is: the digest alone tells.
        fs::write(&place, "TWO").unwrap();
        Stamp::record(&place, &Digest::of("2"), &Digest::of("two"), &Digest::of("2")).unwrap();
        assert_eq!(get("2", Some("two")), "two");
        assert_eq!(fs::read_to_string(&place).unwrap(), "two");
    }
}
