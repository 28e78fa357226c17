//! Archives that ADD unpacks: tar, plain or compressed, and Debian packages.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// The largest memory a compressed archive may ask for, in bytes: xz -9 needs 65 MiB.
const MEMORY_LIMIT: u64 = 1 << 30;

/// Opens `path` as a tar stream, if it is an archive that ADD unpacks: tar, plain or compressed
/// by gzip, bzip2, xz or zstd, or a Debian package (deb(5)), whose data archive it gives.
///
/// An archive is known by its content, as with BuildKit, not by its name.
pub(crate) fn open(path: &Path) -> io::Result<Option<Box<dyn Read + Send>>> {
    let mut file = File::open(path)?;
    if starts_with(&mut file, b"!<arch>\ndebian-binary")? {
        return data_member(file).map(Some);
    }
    file.rewind()?;
    let mut stream = decompress(file)?;
    // A tar's first header tells: "ustar" at 257, or, before POSIX, a checksum that is right.
    let mut head = Vec::with_capacity(512);
    match stream.by_ref().take(512).read_to_end(&mut head) {
        Ok(_) => {}
        // What only looked compressed is a plain file.
        Err(error) if error.kind() != io::ErrorKind::Interrupted => return Ok(None),
        Err(error) => return Err(error),
    }
    if !is_tar_header(&head) {
        return Ok(None);
    }
    Ok(Some(Box::new(io::Cursor::new(head).chain(stream))))
}

fn starts_with(file: &mut File, magic: &[u8]) -> io::Result<bool> {
    file.rewind()?;
    let mut head = Vec::new();
    file.by_ref().take(magic.len() as u64).read_to_end(&mut head)?;
    Ok(head == magic)
}

fn is_tar_header(head: &[u8]) -> bool {
    if head.len() < 512 {
        return false;
    }
    let digits = String::from_utf8_lossy(&head[148..156]);
    let stated = u64::from_str_radix(digits.trim_matches(['\0', ' ']), 8);
    // The checksum counts its own field as blanks.
    let sum: u64 = head[..512]
        .iter()
        .enumerate()
        .map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u64::from(byte) })
        .sum();
    stated == Ok(sum)
}

fn decompress(mut file: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut magic = Vec::with_capacity(6);
    file.by_ref().take(6).read_to_end(&mut magic)?;
    let kind: Vec<u8> = magic.clone();
    let whole = BufReader::with_capacity(1 << 17, io::Cursor::new(magic).chain(file));
    Ok(match &kind[..] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(whole)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => {
            let flags = liblzma::stream::CONCATENATED;
            let stream = liblzma::stream::Stream::new_stream_decoder(MEMORY_LIMIT, flags)?;
            Box::new(liblzma::bufread::XzDecoder::new_stream(whole, stream))
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::stream::read::Decoder::with_buffer(whole)?),
        _ => Box::new(whole),
    })
}

/// The data archive of a Debian package: the member `data.tar` with any suffix of an ar archive.
fn data_member(mut file: File) -> io::Result<Box<dyn Read + Send>> {
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    file.seek(SeekFrom::Start(8))?;
    loop {
        let mut header = [0; 60];
        file.read_exact(&mut header)
            .map_err(|_| bad("the Debian package has no member data.tar"))?;
        if &header[58..] != b"`\n" {
            return Err(bad("the Debian package is damaged: an ar header is wrong"));
        }
        let text = |range: std::ops::Range<usize>| {
            String::from_utf8_lossy(&header[range]).trim().to_owned()
        };
        let size: u64 = text(48..58)
            .parse()
            .map_err(|_| bad("the Debian package is damaged: an ar member has no size"))?;
        if text(0..16).trim_end_matches('/').starts_with("data.tar") {
            return decompress(file.take(size));
        }
        // Members begin at even offsets.
        let skip = size + size % 2;
        file.seek(SeekFrom::Current(i64::try_from(skip).map_err(|_| bad("too large a member"))?))?;
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, process::Command};

    use super::*;

    fn tar_of(folder: &Path) -> Vec<u8> {
        fs::write(folder.join("member"), "text").unwrap();
        let output = Command::new("tar").arg("-C").arg(folder).args(["-c", "member"]).output();
        output.unwrap().stdout
    }

    fn first_name(path: &Path) -> String {
        let mut stream = open(path).unwrap().expect("an archive");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        String::from_utf8_lossy(&all[..6]).into_owned()
    }

    #[test]
    fn opens_every_compression_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let plain = tar_of(folder.path());
        for tool in ["cat", "gzip", "bzip2", "xz", "zstd"] {
            let path = folder.path().join(format!("archive-{tool}"));
            let mut child = Command::new(tool)
                .stdin(std::process::Stdio::piped())
                .stdout(File::create(&path).unwrap())
                .spawn()
                .unwrap_or_else(|error| panic!("{tool}: {error}"));
            child.stdin.take().unwrap().write_all(&plain).unwrap();
            assert!(child.wait().unwrap().success());
            assert_eq!(first_name(&path), "member", "{tool}");
        }
    }

    #[test]
    fn takes_the_data_of_a_debian_package() {
        let folder = tempfile::tempdir().unwrap();
        let data = tar_of(folder.path());
        let mut package = b"!<arch>\n".to_vec();
        for (name, content) in [("debian-binary", &b"2.0"[..]), ("data.tar", &data)] {
            writeln!(
                package,
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`",
                0,
                0,
                0,
                100644,
                content.len()
            )
            .unwrap();
            package.extend_from_slice(content);
            package.extend(vec![b'\n'; content.len() % 2]);
        }
        let path = folder.path().join("p.deb");
        fs::write(&path, &package).unwrap();
        assert_eq!(first_name(&path), "member");
        fs::write(&path, &package[..100]).unwrap();
        assert!(open(&path).is_err());
    }

    #[test]
    fn other_files_are_no_archives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let gz_of_text = {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
            encoder.write_all(b"no tar").unwrap();
            encoder.finish().unwrap()
        };
        let samples: [&[u8]; 6] =
            [b"", b"text", &gz_of_text, b"\x1f\x8bnonsense", b"BZhnonsense", &[0; 1024]];
        for sample in samples {
            fs::write(&path, sample).unwrap();
            assert!(open(&path).unwrap().is_none(), "{sample:?}");
        }
    }
}
