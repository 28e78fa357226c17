//! Enclave images, against vectors from AWS's own crate and signatures checked by OpenSSL.
//!
//! The vectors were made by `EifBuilder` of `aws-nitro-enclaves-image-format` 0.8.1 from the same
//! parts: the digests of whole unsigned images, and all registers. That crate's `EifReader` also
//! found the checksum of the signed image right, and its `PcrSignatureChecker` the signature.
#![allow(clippy::unwrap_used, reason = "a test fails where something is not as expected")]

mod common;

use std::{collections::BTreeMap, fs, process::Command};

use common::*;
use stagex_image::{
    Image,
    eif::{Architecture, Eif, Error, Metadata, SignError, Signer},
};
use stagex_tree::{Content, Digest};

const KEY: &str = include_str!("data/known-key.pem");
const CERTIFICATE: &str = include_str!("data/known-key-certificate.pem");

const PCR0_OF_ONE: &str = "ecc9a5d30275833e0399344e305e034d200968c15173810268b8aac300e6a63a\
    e9a304df0db7a74a874d303a6ee3569d";
const PCR2_OF_NONE: &str = "21b9efbc184807662e966d34f390821309eeac6802309798826296bf3e8bec7c\
    10edb30948c90ba67310f7b964fc500a";

fn kernel(architecture: Architecture) -> Content {
    let mut bytes = filling(5000, 1);
    let (at, magic) = match architecture {
        Architecture::X86_64 => (0x202, b"HdrS"),
        Architecture::Aarch64 => (0x38, b"ARM\x64"),
    };
    bytes[at..at + 4].copy_from_slice(magic);
    Content::from_bytes(bytes)
}

fn ramdisks() -> [Content; 3] {
    [(70_001, 2), (4097, 3), (1, 4)].map(|(len, salt)| Content::from_bytes(filling(len, salt)))
}

fn metadata() -> Metadata {
    Metadata {
        name: "enclave".to_owned(),
        version: "1.0 \"é\"".to_owned(),
        build_time: EPOCH,
        build_tool: "stagex".to_owned(),
        build_tool_version: "0.1.0".to_owned(),
        operating_system: "Linux".to_owned(),
        kernel_version: "6.12.0".to_owned(),
        custom: Some("{\"b\": [1, \"x\"], \"a\": null}".to_owned()),
    }
}

fn eif<'a>(kernel: &'a Content, ramdisks: &'a [Content], architecture: Architecture) -> Eif<'a> {
    let cmdline = "reboot=k panic=30 console=ttyS0 random.trust_cpu=on";
    let ramdisks = ramdisks.iter().map(|ramdisk| ramdisk as &dyn Image).collect();
    Eif::new(architecture, kernel, cmdline, ramdisks, metadata())
}

#[test]
fn images_and_registers_are_those_of_the_reference() {
    let ramdisks = ramdisks();
    let check = |architecture, count, digest: &str, registers: [&str; 3]| {
        let kernel = kernel(architecture);
        let eif = eif(&kernel, &ramdisks[..count], architecture);
        let plan = eif.plan().unwrap();
        assert_eq!(Digest::of(bytes(&plan)).to_string(), digest);
        let pcrs = plan.pcrs();
        assert_eq!([pcrs.pcr0, pcrs.pcr1, pcrs.pcr2].map(|pcr| pcr.to_string()), registers);
        assert_eq!(pcrs.pcr8, None);
    };
    check(
        Architecture::X86_64,
        1,
        "cdca253c243ff05a1207eede9dffc71e150617b48f8fdce1cec7f9fac28479cf",
        [PCR0_OF_ONE, PCR0_OF_ONE, PCR2_OF_NONE],
    );
    check(
        Architecture::X86_64,
        3,
        "9772f324a28653e50228f180bf78320b2d1f4f7cfc1913b976a9099b8372943b",
        [
            "1b03dcb094233ca02061258495023ac26e05754283b40f1b52b088f03a918e52\
             d057e48274227d70f6118bd55e72be1b",
            PCR0_OF_ONE,
            "67b305272ebff54ef5bcad6e1f5635f26a761da23ebd6fc5c4ce0e880944e38b\
             26f55ab41776450e0bd70ed46ea7176d",
        ],
    );
    let arm = "e6efc88a268cb085d4e3a0f1722ba370bb6d9be4a267db903d2790aad0db420c\
               4ccdff6b664214e28dd49f87316d50d5";
    check(
        Architecture::Aarch64,
        1,
        "7450d6f3d289f88f1a712a830a7b9b773e093fc8354d62bec5ebb7b2a383b6be",
        [arm, arm, PCR2_OF_NONE],
    );
}

#[test]
fn a_signed_image_measures_its_certificate() {
    let (ramdisks, kernel) = (ramdisks(), kernel(Architecture::X86_64));
    let signer = Signer::from_pem(KEY, CERTIFICATE).unwrap();
    let mut eif = eif(&kernel, &ramdisks[..2], Architecture::X86_64);
    let unsigned = bytes(&eif.plan().unwrap());
    eif.signer = Some(&signer);
    let plan = eif.plan().unwrap();
    let expected = "{\n  \"Measurements\": {\n    \
        \"HashAlgorithm\": \"Sha384 { ... }\",\n    \
        \"PCR0\": \"053829602f08d2b6a0b02cda902d41908a565d58fde0a9e977647ced65fcc5071984fc2363269ab13270543f2ab5490b\",\n    \
        \"PCR1\": \"ecc9a5d30275833e0399344e305e034d200968c15173810268b8aac300e6a63ae9a304df0db7a74a874d303a6ee3569d\",\n    \
        \"PCR2\": \"deae48a40dc5004efe8efa788063f4f49f970b6229e9afc5630b61bc5d2e2069fd1e5bb13fb972e684cf15e01437e74b\",\n    \
        \"PCR8\": \"8de53bccb625b865410920c8acf7354f8ad517d51166b6503e644e9f6cfde24503139ee192689d253a67143e3238bb60\"\n  \
        }\n}\n";
    assert_eq!(plan.pcrs().to_json(), expected);
    let signed = bytes(&plan);
    // The sections before the signature are the same.
    assert!(signed[548..unsigned.len()] == unsigned[548..]);
    let digest = "036ba6bddd281c9a9e15b406f0f455063173726d03f1d8e6caf3839597599b3c";
    assert_eq!(Digest::of(&signed).to_string(), digest);
}

/// What a CBOR text holds, as far as signatures use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Number(i128),
    Bytes(Vec<u8>),
    Text(String),
    Array(Vec<Value>),
    Map(BTreeMap<Value, Value>),
}

fn decode(bytes: &mut &[u8]) -> Value {
    let mut take = |n: usize| {
        let (taken, rest) = bytes.split_at(n);
        *bytes = rest;
        taken
    };
    let first = take(1)[0];
    let number = match first & 31 {
        small @ 0..=23 => usize::from(small),
        info => take(1 << (info - 24)).iter().fold(0, |n, &byte| n << 8 | usize::from(byte)),
    };
    match first >> 5 {
        0 => Value::Number(number as i128),
        1 => Value::Number(-1 - number as i128),
        2 => Value::Bytes(take(number).to_vec()),
        3 => Value::Text(String::from_utf8(take(number).to_vec()).unwrap()),
        4 => Value::Array((0..number).map(|_| decode(bytes)).collect()),
        5 => Value::Map((0..number).map(|_| (decode(bytes), decode(bytes))).collect()),
        other => panic!("major type {other}"),
    }
}

fn field(value: &Value, name: &str) -> Value {
    let Value::Map(map) = value else { panic!("no map: {value:?}") };
    map[&Value::Text(name.to_owned())].clone()
}

fn numbers(value: &Value) -> Vec<u8> {
    let Value::Array(values) = value else { panic!("no array: {value:?}") };
    let byte = |value: &Value| match value {
        Value::Number(number) => u8::try_from(*number).unwrap(),
        other => panic!("no number: {other:?}"),
    };
    values.iter().map(byte).collect()
}

/// The last section, which is the signature, of an image with one ramdisk.
fn signature_of(eif: &[u8]) -> Value {
    let number = |at: usize| u64::from_be_bytes(eif[at..at + 8].try_into().unwrap()) as usize;
    let (offset, size) = (number(28 + 8 * 4), number(28 + 256 + 8 * 4));
    assert_eq!(eif[offset..offset + 4], [0, 4, 0, 0], "a signature section");
    assert_eq!(number(offset + 4), size);
    assert_eq!(eif.len(), offset + 12 + size);
    let mut section = &eif[offset + 12..];
    let value = decode(&mut section);
    assert!(section.is_empty());
    value
}

/// Signs an image, and has OpenSSL check the signature.
fn check_signature(key: &str, certificate: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (ramdisks, kernel) = (ramdisks(), kernel(Architecture::X86_64));
    let signer = Signer::from_pem(key, certificate).unwrap();
    let mut eif = eif(&kernel, &ramdisks[..1], Architecture::X86_64);
    eif.signer = Some(&signer);
    let plan = eif.plan().unwrap();
    let Value::Array(signatures) = signature_of(&bytes(&plan)) else { panic!("no array") };
    assert_eq!(signatures.len(), 1);
    assert_eq!(numbers(&field(&signatures[0], "signing_certificate")), certificate.as_bytes());
    let cose = numbers(&field(&signatures[0], "signature"));
    let Value::Array(cose) = decode(&mut &cose[..]) else { panic!("no array") };
    let [protected, unprotected, payload, signature] = &cose[..] else { panic!("{cose:?}") };
    assert_eq!(*unprotected, Value::Map(BTreeMap::new()));
    let (Value::Bytes(protected), Value::Bytes(payload), Value::Bytes(signature)) =
        (protected, payload, signature)
    else {
        panic!("{cose:?}")
    };
    let algorithm = BTreeMap::from([(Value::Number(1), Value::Number(-35))]);
    assert_eq!(decode(&mut &protected[..]), Value::Map(algorithm));
    let signed = decode(&mut &payload[..]);
    assert_eq!(field(&signed, "register_index"), Value::Number(0));
    assert_eq!(numbers(&field(&signed, "register_value")), plan.pcrs().pcr0.0);

    // The Sig_structure of RFC 9052, section 4.4, put together by hand.
    let mut text = vec![0x84, 0x6a];
    text.extend_from_slice(b"Signature1\x44");
    text.extend_from_slice(protected);
    text.extend_from_slice(&[0x40, 0x58, payload.len() as u8]);
    text.extend_from_slice(payload);
    let der = p384::ecdsa::Signature::from_slice(signature).unwrap().to_der();
    let [one, two, three, four] =
        ["text", "signature", "certificate", "public"].map(|name| folder.path().join(name));
    fs::write(&one, text).unwrap();
    fs::write(&two, der.as_bytes()).unwrap();
    fs::write(&three, certificate).unwrap();
    let public = ok(
        "openssl",
        Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(&three),
    );
    fs::write(&four, public).unwrap();
    let verdict = ok_text(
        "openssl",
        Command::new("openssl")
            .args(["dgst", "-sha384", "-verify"])
            .arg(&four)
            .arg("-signature")
            .arg(&two)
            .arg(&one),
    );
    assert_eq!(verdict, "Verified OK\n");
}

#[test]
fn signatures_are_verified_by_openssl() {
    check_signature(KEY, CERTIFICATE);
    // Text around the blocks, and further certificates behind the first, as chains have them.
    let chain = format!("a chain\n{CERTIFICATE}and its root\n{CERTIFICATE}");
    check_signature(
        &format!("-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n{KEY}"),
        &chain,
    );
}

/// Runs openssl in `folder`.
fn openssl(folder: &std::path::Path, arguments: &str) {
    ok("openssl", Command::new("openssl").args(arguments.split(' ')).current_dir(folder));
}

#[test]
fn keys_are_read_as_openssl_writes_them() {
    let folder = tempfile::tempdir().unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    openssl(folder.path(), "ecparam -name secp384r1 -genkey -out sec1");
    openssl(folder.path(), "pkcs8 -topk8 -nocrypt -in sec1 -out pkcs8");
    openssl(folder.path(), "req -x509 -new -key sec1 -sha384 -days 2 -subj /CN=x -text -out cert");
    check_signature(&read("sec1"), &read("cert"));
    check_signature(&read("pkcs8"), &read("cert"));

    openssl(folder.path(), "pkcs8 -topk8 -passout pass:x -in sec1 -out encrypted");
    openssl(folder.path(), "ec -aes128 -passout pass:x -in sec1 -out encrypted1");
    openssl(folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out p256");
    openssl(folder.path(), "ecparam -name secp384r1 -genkey -noout -out other");
    openssl(folder.path(), "req -x509 -new -key p256 -days 2 -subj /CN=x -out cert256");
    let refused = |key: &str, certificate: &str| Signer::from_pem(key, certificate).err();
    let cert = read("cert");
    assert_eq!(refused(&read("encrypted"), &cert), Some(SignError::EncryptedKey));
    assert_eq!(refused(&read("encrypted1"), &cert), Some(SignError::EncryptedKey));
    assert_eq!(refused(&read("p256"), &cert), Some(SignError::Key));
    assert_eq!(refused(&read("other"), &cert), Some(SignError::OtherKey));
    assert_eq!(refused(&read("sec1"), &read("cert256")), Some(SignError::OtherKey));
    assert_eq!(refused(&cert, &cert), Some(SignError::NoKey));
    assert_eq!(refused(&read("sec1"), &read("sec1")), Some(SignError::NoCertificate));
    let damaged = CERTIFICATE.replacen("MII", "MIJ", 1);
    assert_eq!(refused(KEY, &damaged), Some(SignError::Certificate));
    // No damage to a certificate makes reading it panic.
    let lines: Vec<&str> = CERTIFICATE.lines().collect();
    for line in 1..lines.len() - 1 {
        for letter in ["A", "/", "w"] {
            let mut lines = lines.clone();
            let changed = format!("{letter}{}", &lines[line][1..]);
            lines[line] = &changed;
            Signer::from_pem(KEY, &lines.join("\n")).map(drop).ok();
        }
    }
}

#[test]
fn what_would_not_boot_is_refused() {
    let (ramdisks, kernel) = (ramdisks(), kernel(Architecture::X86_64));
    let eif = |count: usize| eif(&kernel, &ramdisks[..count], Architecture::X86_64);
    let refused = |eif: &Eif<'_>| eif.plan().err().unwrap();
    assert!(matches!(refused(&eif(0)), Error::NoRamdisk));
    let arm = Eif { architecture: Architecture::Aarch64, ..eif(1) };
    assert!(matches!(refused(&arm), Error::Kernel { .. }));
    let no_kernel = Content::from_bytes(*b"");
    assert!(matches!(refused(&Eif { kernel: &no_kernel, ..eif(1) }), Error::Kernel { .. }));
    let nul = Eif { cmdline: "a\0b".to_owned(), ..eif(1) };
    assert!(matches!(refused(&nul), Error::CmdlineNul { offset: 1 }));
    let long = Eif { cmdline: "a".repeat(2048), ..eif(1) };
    assert!(matches!(refused(&long), Error::CmdlineTooLong { len: 2048, .. }));
    assert!(Eif { cmdline: "a".repeat(2047), ..eif(1) }.plan().is_ok());
    let empty = Content::from_bytes(*b"");
    let mut with_empty = eif(1);
    with_empty.ramdisks.push(&empty);
    assert!(matches!(refused(&with_empty), Error::EmptyRamdisk { number: 1 }));
    let mut many = eif(1);
    many.ramdisks = vec![&ramdisks[2]; 29];
    assert!(many.plan().is_ok());
    let signer = Signer::from_pem(KEY, CERTIFICATE).unwrap();
    many.signer = Some(&signer);
    assert!(matches!(refused(&many), Error::TooManyRamdisks { count: 29, max: 28 }));
    let gone = Content::from_file(std::path::Path::new("/nowhere/at/all"), 0, 9);
    let mut unreadable = eif(1);
    unreadable.ramdisks.push(&gone);
    let error = refused(&unreadable);
    assert_eq!(error.to_string(), "cannot read the ramdisk 1");
}
