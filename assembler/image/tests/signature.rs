//! Secure Boot signatures, checked by sbsigntool, osslsigncode and OpenSSL.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::*;
use stagex_image::{
    identity::Guid,
    uki::{
        Certificate, Certificates, Machine, PeError, PeImage, Plan, RsaKey, SignError, Signer, Uki,
    },
    variables::{self, Error, enrol},
};
use stagex_tree::Content;

const MACHINES: [Machine; 3] = [Machine::X86_64, Machine::Arm64, Machine::Riscv64];

fn uki(machine: Machine, initrd: usize) -> Uki {
    Uki {
        stub: Content::from_bytes(efi::stub(machine, b"code")),
        kernel: Content::from_bytes(efi::kernel(machine)),
        initrd: Some(Content::from_bytes(filling(initrd, 3))),
        cmdline: "quiet".to_owned(),
        os_release: Some("ID=test\n".to_owned()),
        uname: None,
        sbat: None,
        ucode: None,
        dtb: None,
    }
}

/// A key in both forms, and a certificate of its own.
struct Keys {
    pkcs8: PathBuf,
    pkcs1: PathBuf,
    certificate: PathBuf,
}

fn openssl(arguments: &[&str]) -> Vec<u8> {
    ok("openssl", Command::new("openssl").args(arguments))
}

fn keys(folder: &Path, bits: u32, name: &str) -> Keys {
    let at = |suffix: &str| folder.join(format!("{name}.{suffix}"));
    let keys = Keys { pkcs8: at("key"), pkcs1: at("rsa"), certificate: at("pem") };
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let subject = format!("/O=Test \u{fc}ber alles/CN={name}");
    let (key, rsa, pem) = (text(&keys.pkcs8), text(&keys.pkcs1), text(&keys.certificate));
    let new = format!("rsa:{bits}");
    openssl(&[
        "req", "-x509", "-newkey", &new, "-nodes", "-utf8", "-days", "3650", "-subj", &subject,
        "-keyout", &key, "-out", &pem,
    ]);
    openssl(&["pkey", "-in", &key, "-traditional", "-out", &rsa]);
    keys
}

fn key(path: &Path) -> RsaKey {
    RsaKey::from_pem(&fs::read(path).unwrap()).unwrap()
}

fn certificates(path: &Path) -> Certificates {
    Certificates::parse(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn signed_images_are_verified_by_others_and_are_the_unsigned_less_the_signature() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (bits, initrd) in [(2048, 70_001), (3072, 1), (4096, 4096)] {
        let keys = keys(folder.path(), bits, &format!("key{bits}"));
        for machine in MACHINES {
            let plan = || uki(machine, initrd).plan().unwrap();
            let unsigned = bytes(&plan());
            assert!(!plan().is_signed());
            let sign =
                |with: &Path| plan().sign(&certificates(&keys.certificate), &key(with)).unwrap();
            let signed = bytes(&sign(&keys.pkcs8));
            assert!(sign(&keys.pkcs8).is_signed());
            assert!(signed == bytes(&sign(&keys.pkcs1)), "the same key, the same bytes");

            // The same but for the checksum and the place of the table.
            let (checksum, place) = (64 + 24 + 64, 64 + 24 + 112 + 32);
            let mut restored = signed[..unsigned.len()].to_vec();
            restored[checksum..checksum + 4].copy_from_slice(&unsigned[checksum..checksum + 4]);
            restored[place..place + 8].fill(0);
            assert!(restored == unsigned);
            let read = Plan::read(&Content::from_bytes(signed.clone())).unwrap();
            assert!(bytes(&read) == unsigned, "a signature can be taken off");
            let parsed = PeImage::parse(&Content::from_bytes(signed.clone())).unwrap();
            assert_eq!(parsed.certificates as usize, signed.len() - unsigned.len());
            let sum = PeImage::compute_checksum(&Content::from_bytes(signed.clone())).unwrap();
            assert_eq!(parsed.checksum, sum);

            let file = at("signed.efi");
            fs::write(&file, &signed).unwrap();
            let shown = ok_text(
                "osslsigncode",
                Command::new("osslsigncode")
                    .args(["verify", "-in"])
                    .arg(&file)
                    .arg("-CAfile")
                    .arg(&keys.certificate),
            );
            assert!(shown.contains("Signature verification: ok"), "{shown}");
            let hash = plan().hash().unwrap().hex().to_uppercase();
            let line = format!("Calculated message digest : {hash}");
            assert!(shown.contains(&line), "{shown}");
            // Debian's sbsigntool and pesign know no RISC-V.
            if machine == Machine::Riscv64 {
                continue;
            }
            let mut command = Command::new("pesign");
            let shown = ok_text("pesign", command.args(["-h", "-i"]).arg(&file));
            assert!(shown.contains(&hash.to_lowercase()), "{shown}");
            let mut verify = Command::new("sbverify");
            let shown =
                ok_text("sbsigntool", verify.arg("--cert").arg(&keys.certificate).arg(&file));
            assert!(shown.contains("Signature verification OK"), "{shown}");
            ok("sbsigntool", Command::new("sbattach").arg("--remove").arg(&file));
            assert!(fs::read(&file).unwrap() == unsigned, "what sbattach leaves");

            // What sbsign signs is the same image with the same hash.
            fs::write(&file, &unsigned).unwrap();
            let theirs = at("theirs.efi");
            let mut command = Command::new("sbsign");
            command.arg("--key").arg(&keys.pkcs8).arg("--cert").arg(&keys.certificate);
            ok("sbsigntool", command.arg("--output").arg(&theirs).arg(&file));
            let theirs = Content::from_bytes(fs::read(&theirs).unwrap());
            let theirs = Plan::read(&theirs).unwrap();
            assert_eq!(theirs.hash().unwrap(), plan().hash().unwrap());
            // Signed once more, it is ours.
            let again = theirs.sign(&certificates(&keys.certificate), &key(&keys.pkcs8)).unwrap();
            assert!(bytes(&again) == signed);
        }
    }
}

#[test]
fn a_changed_image_and_another_key_are_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (keys(folder.path(), 2048, "ours"), keys(folder.path(), 2048, "others"));
    let plan = || uki(Machine::X86_64, 5000).plan().unwrap();
    let error = plan().sign(&certificates(&ours.certificate), &key(&others.pkcs8)).unwrap_err();
    assert!(matches!(error, SignError::Mismatch), "{error}");

    let mut signed =
        bytes(&plan().sign(&certificates(&ours.certificate), &key(&ours.pkcs8)).unwrap());
    let file = folder.path().join("signed.efi");
    let verifies = |certificate: &Path| {
        let mut command = Command::new("sbverify");
        run("sbsigntool", command.arg("--cert").arg(certificate).arg(&file)).status.success()
    };
    fs::write(&file, &signed).unwrap();
    assert!(verifies(&ours.certificate));
    assert!(!verifies(&others.certificate));
    signed[0x1000] ^= 1;
    fs::write(&file, &signed).unwrap();
    assert!(!verifies(&ours.certificate));
}

#[test]
fn certificates_may_be_der_and_may_be_several() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (keys(folder.path(), 2048, "ours"), keys(folder.path(), 2048, "others"));
    let der = folder.path().join("ours.der");
    let (from, to) = (ours.certificate.to_str().unwrap(), der.to_str().unwrap());
    openssl(&["x509", "-in", from, "-outform", "DER", "-out", to]);
    assert_eq!(certificates(&der), certificates(&ours.certificate));
    let both = [fs::read(&ours.certificate).unwrap(), fs::read(&others.certificate).unwrap()];
    let both = Certificates::parse(&both.concat()).unwrap();
    let plan = uki(Machine::X86_64, 5000).plan().unwrap();
    let signed = bytes(&plan.sign(&both, &key(&ours.pkcs8)).unwrap());
    let file = folder.path().join("signed.efi");
    fs::write(&file, &signed).unwrap();
    let mut list = Command::new("sbverify");
    let shown = ok_text("sbsigntool", list.arg("--list").arg(&file));
    assert!(shown.contains("CN=ours") && shown.contains("CN=others"), "{shown}");
    let mut command = Command::new("sbverify");
    ok("sbsigntool", command.arg("--cert").arg(&ours.certificate).arg(&file));
}

#[test]
fn what_cannot_sign_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let small = keys(folder.path(), 1024, "small");
    let error = |result: Result<Certificates, SignError>| result.unwrap_err().to_string();
    let parse = |path: &Path| Certificates::parse(&fs::read(path).unwrap());
    assert!(error(parse(&small.certificate)).contains("2048 bits"));
    assert!(matches!(
        RsaKey::from_pem(&fs::read(&small.pkcs8).unwrap()),
        Err(SignError::Key { .. })
    ));
    let (key, pem) = (at("ec.key"), at("ec.pem"));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=ec",
        "-keyout",
        &key,
        "-out",
        &pem,
    ]);
    assert!(error(parse(Path::new(&pem))).contains("not RSA"));
    assert!(RsaKey::from_pem(&fs::read(&key).unwrap()).is_err());
    let good = keys(folder.path(), 2048, "good");
    let (plain, encrypted) = (good.pkcs8.to_str().unwrap().to_owned(), at("encrypted.key"));
    openssl(&["pkey", "-in", &plain, "-aes256", "-passout", "pass:x", "-out", &encrypted]);
    let text = RsaKey::from_pem(&fs::read(&encrypted).unwrap()).err().unwrap().to_string();
    assert!(text.contains("not encrypted"), "{text}");
    for junk in
        [&b""[..], b"\x30", b"\x30\x03\x02\x01\x01", b"text", b"-----BEGIN CERTIFICATE-----\n"]
    {
        assert!(Certificates::parse(junk).is_err(), "{junk:?}");
        assert!(RsaKey::from_pem(junk).is_err(), "{junk:?}");
    }
    // Any cut of a certificate is an error.
    let der = at("good.der");
    openssl(&["x509", "-in", good.certificate.to_str().unwrap(), "-outform", "DER", "-out", &der]);
    let der = fs::read(der).unwrap();
    for len in 0..der.len() {
        assert!(Certificates::parse(&der[..len]).is_err(), "{len}");
    }
    struct Broken;
    impl Signer for Broken {
        fn sign(&self, _: &[u8]) -> Result<Vec<u8>, SignError> {
            Ok(vec![0; 256])
        }
    }
    let plan = uki(Machine::Arm64, 0).plan().unwrap();
    let error = plan.sign(&certificates(&good.certificate), &Broken).unwrap_err();
    assert!(matches!(error, SignError::Mismatch), "{error}");
}

#[test]
fn images_that_hash_differently_by_reader_are_refused() {
    let image = bytes(&uki(Machine::X86_64, 5000).plan().unwrap());
    let read = |image: &[u8]| Plan::read(&Content::from_bytes(image)).map(drop);
    assert!(read(&image).is_ok());
    let at = 64 + 24 + 240;
    let mut gap = image.clone();
    // The second section begins a sector later.
    gap[at + 40 + 21] += 2;
    assert!(matches!(read(&gap), Err(PeError::Gap { .. })));
    let mut table = image.clone();
    table[64 + 24 + 112 + 32..][..8].copy_from_slice(&[0, 4, 0, 0, 8, 0, 0, 0]);
    assert!(matches!(read(&table), Err(PeError::Certificates)));
    for len in [0, 10, 63, 64, 100, 200, 300, 1023] {
        assert!(read(&image[..len]).is_err(), "{len}");
    }
    for at in 0..0x400 {
        for value in [0, 0x7f, 0xff] {
            let mut image = image.clone();
            image[at] = value;
            // Whatever it says, it does not panic.
            let _ = read(&image);
        }
    }
}

/// An empty store of variables as EDK II builds it, of so many bytes.
fn empty_store(size: usize) -> Vec<u8> {
    let mut volume = vec![0xff; 72 + size + 4096];
    volume[..72].fill(0);
    volume[16..32]
        .copy_from_slice(b"\x8d\x2b\xf1\xff\x96\x76\x8b\x4c\xa9\x85\x27\x47\x07\x5b\x4f\x50");
    volume[40..44].copy_from_slice(b"_FVH");
    volume[48] = 72;
    let head = b"\x78\x2c\xf3\xaa\x7b\x94\x9a\x43\xa1\x80\x2e\x14\x4e\xc3\x77\x92";
    volume[72..88].copy_from_slice(head);
    volume[88..92].copy_from_slice(&u32::try_from(size).unwrap().to_le_bytes());
    volume[92..100].copy_from_slice(&[0x5a, 0xfe, 0, 0, 0, 0, 0, 0]);
    volume
}

#[test]
fn keys_stand_in_the_store_that_a_machine_begins_with() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        let pem = fs::read(keys(folder.path(), 2048, name).certificate).unwrap();
        Certificates::parse(&pem).unwrap().signer().clone()
    };
    let (platform, one, other) = (read("platform"), read("one"), read("other"));
    let exchange = [platform.clone()];
    let db = [one.clone(), other.clone()];
    let keys = variables::Keys { platform: &platform, exchange: &exchange, db: &db };
    let owner = Guid::from_u128(1);
    let empty = empty_store(16 << 10);
    let store = enrol(&empty, &keys, owner).unwrap();
    assert_eq!(store.len(), empty.len());
    assert_eq!(store[..100], empty[..100]);

    let mut at = 100;
    let mut found = Vec::new();
    let number = |at: usize| u32::from_le_bytes(store[at..at + 4].try_into().unwrap()) as usize;
    while store[at..at + 2] == [0xaa, 0x55] {
        assert_eq!(store[at + 2], 0x3f);
        let (name, data) = (number(at + 36), number(at + 40));
        let text: Vec<u16> = store[at + 60..at + 60 + name]
            .chunks_exact(2)
            .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
            .collect();
        let (text, end) = (String::from_utf16(&text).unwrap(), at + 60 + name);
        assert!(text.ends_with('\0'));
        let text = text.trim_end_matches('\0').to_owned();
        found.push((text, number(at + 4), store[end..end + data].to_vec()));
        at = (end + data).next_multiple_of(4);
    }
    assert!(store[at..].iter().all(|byte| *byte == 0xff));
    let list = |certificate: &Certificate| {
        let mut list = b"\xa1\x59\xc0\xa5\xe4\x94\xa7\x4a\x87\xb5\xab\x15\x5c\x2b\xf0\x72".to_vec();
        let len = u32::try_from(certificate.der().len()).unwrap();
        for size in [len + 44, 0, len + 16] {
            list.extend(size.to_le_bytes());
        }
        list.extend(owner.mixed_endian());
        list.extend(certificate.der());
        list
    };
    let want = [
        ("PK", 0x27, list(&platform)),
        ("KEK", 0x27, list(&platform)),
        ("db", 0x27, [list(&one), list(&other)].concat()),
        ("SecureBootEnable", 3, vec![1]),
    ];
    assert_eq!(found, want.map(|(name, attributes, data)| (name.to_owned(), attributes, data)));

    // What is no empty store, and what does not fit.
    assert_eq!(enrol(&store, &keys, owner), Err(Error::NotEmpty));
    assert!(matches!(enrol(&empty_store(1 << 10), &keys, owner), Err(Error::Full { .. })));
    for len in [0, 48, 90, 100, empty.len() - (5 << 10)] {
        assert_eq!(enrol(&empty[..len], &keys, owner), Err(Error::NoStore), "{len}");
    }
    for at in [16, 40, 48, 72, 92, 93] {
        let mut other = empty.clone();
        other[at] ^= 1;
        assert_eq!(enrol(&other, &keys, owner), Err(Error::NoStore), "{at}");
    }
}
