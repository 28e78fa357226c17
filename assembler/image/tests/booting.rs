//! Images booted under QEMU, with SeaBIOS and OVMF. What boots is a few instructions that end QEMU
//! with a code of their own, through its device isa-debug-exit.
// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use common::*;
use stagex_image::{
    Image, disk, fat,
    gpt::Type,
    iso::{self, BootImage},
    uki::{Certificates, Machine, Plan, RsaKey, Uki},
};
use stagex_tree::{Content, Digest, Tree};

/// How long a machine may take that is emulated on a busy host.
const PATIENCE: Duration = Duration::from_secs(180);
/// OVMF with Secure Boot, in System Management Mode.
const OVMF: &str = "/usr/share/OVMF/OVMF_CODE_4M.secboot.fd";
/// Its variables: nobody's keys, and those of Debian's example key, which is in the package too.
const NO_KEYS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const EXAMPLE_KEYS: &str = "/usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd";
const EXAMPLE: &str = "/usr/share/ovmf/PkKek-1-snakeoil";

/// Code that ends QEMU with the exit code `2 * value + 1`: `mov al, value; out 0xf4, al; jmp $`. It
/// is the same in 16 and in 64 bits.
fn ends_with(value: u8) -> [u8; 6] {
    [0xb0, value, 0xe6, 0xf4, 0xeb, 0xfe]
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    /// What booted said this.
    With(u8),
    /// The firmware refused it.
    Refused,
}

/// Boots an image with more arguments for QEMU.
fn boot(folder: &Path, arguments: &[&str]) -> Ended {
    let serial = folder.join("serial");
    let _ = fs::remove_file(&serial);
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg", "-m", "256", "-display", "none", "-net", "none", "-no-reboot"])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1", "-serial"])
        .arg(format!("file:{}", serial.display()))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| {
        panic!("this test needs the Debian package qemu-system-x86: {error}")
    });
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            let code = status.code().unwrap_or_else(|| panic!("{arguments:?}: {status}"));
            assert!(code & 1 == 1 && code > 2, "{arguments:?}: {status}");
            return Ended::With(u8::try_from(code / 2).unwrap());
        }
        let said = String::from_utf8_lossy(&fs::read(&serial).unwrap_or_default()).into_owned();
        let refused =
            ["Security Violation", "Access Denied"].iter().any(|text| said.contains(text));
        if refused || start.elapsed() > PATIENCE {
            child.kill().unwrap();
            child.wait().unwrap();
            assert!(refused, "{arguments:?} hangs: {said}");
            return Ended::Refused;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Boots an image with OVMF and a copy of the variables in `keys`.
fn boot_efi(folder: &Path, keys: &str, drive: &[&str]) -> Ended {
    let variables = folder.join("variables");
    fs::copy(keys, &variables)
        .unwrap_or_else(|error| panic!("this test needs the Debian package ovmf: {error}"));
    let code = format!("if=pflash,format=raw,unit=0,readonly=on,file={OVMF}");
    let machine = [
        "-machine",
        "q35,smm=on",
        "-global",
        "driver=cfi.pflash01,property=secure,value=on",
        "-drive",
        &code,
        "-drive",
        "if=pflash,format=raw,unit=1,file=variables",
    ];
    boot(folder, &[&machine[..], drive].concat())
}

const STICK: [&str; 2] = ["-drive", "file=image,format=raw,if=ide"];
const DISC: [&str; 2] = ["-drive", "file=image,format=raw,if=ide,media=cdrom,readonly=on"];

fn uki(stub: Vec<u8>, kernel: Vec<u8>) -> Plan {
    let uki = Uki {
        stub: Content::from_bytes(stub),
        kernel: Content::from_bytes(kernel),
        initrd: None,
        cmdline: "quiet".to_owned(),
        os_release: None,
        uname: None,
        sbat: None,
        ucode: None,
        dtb: None,
    };
    uki.plan().unwrap()
}

/// An EFI program that ends QEMU.
fn program(value: u8) -> Vec<u8> {
    let machine = Machine::X86_64;
    bytes(&uki(efi::stub(machine, &ends_with(value)), efi::kernel(machine)))
}

fn esp(program: Vec<u8>) -> Tree {
    let mut tree = empty();
    for name in ["EFI", "EFI/BOOT"] {
        tree.insert(path(name), directory()).unwrap();
    }
    tree.insert(path("EFI/BOOT/BOOTX64.EFI"), file(program)).unwrap();
    tree
}

#[test]
fn one_iso_boots_from_disc_and_stick_under_bios_and_uefi() {
    let folder = tempfile::tempdir().unwrap();
    let esp = esp(program(33));
    let params = fat::Params { width: fat::Width::Fat16, ..fat::Params::default() };
    let esp = fat::layout(&esp, &params).unwrap();
    let mut loader = ends_with(34).to_vec();
    loader.resize(2048, 0);
    let mut tree = empty();
    tree.insert(path("loader.bin"), file(loader)).unwrap();
    let mut boot_code = [0; 440];
    boot_code[..6].copy_from_slice(&ends_with(35));
    let params = iso::Params {
        efi: Some(BootImage::Hidden(&esp)),
        bios: Some(path("loader.bin")),
        boot_code,
        hybrid_mbr: true,
        ..iso::Params::new("BOOT", EPOCH)
    };
    let image = bytes(&iso::layout(&tree, &params).unwrap());
    fs::write(folder.path().join("image"), image).unwrap();
    assert_eq!(boot(folder.path(), &DISC), Ended::With(34));
    assert_eq!(boot(folder.path(), &STICK), Ended::With(35));
    assert_eq!(boot_efi(folder.path(), NO_KEYS, &DISC), Ended::With(33));
    assert_eq!(boot_efi(folder.path(), NO_KEYS, &STICK), Ended::With(33));
}

#[test]
fn a_boot_loader_finds_itself_by_the_table_written_into_it() {
    // Ends QEMU with the checksum's lowest byte, which stands at byte 20: loaded at 0x7c00, segment
    // 0 or 0x7c0 by the BIOS, so it is read through the code segment's own address.
    let mut loader = vec![0; 4096];
    // call $+3; pop bx; mov al, cs:[bx + 20 - 3]; out 0xf4, al
    let code = [0xe8, 0, 0, 0x5b, 0x2e, 0x8a, 0x47];
    // Its eight bytes are all that comes before the table: the rest is behind it.
    loader[..2].copy_from_slice(&[0xeb, 64 - 2]);
    loader[64..71].copy_from_slice(&code);
    // From byte 67, where the call returns to, back to byte 20.
    loader[71] = (20_i8 - 67) as u8;
    loader[72..76].copy_from_slice(&[0xe6, 0xf4, 0xeb, 0xfe]);
    loader[4095] = 9;
    let sum = loader[64..]
        .chunks(4)
        .fold(0_u32, |sum, word| sum.wrapping_add(u32::from_le_bytes(word.try_into().unwrap())));
    let mut tree = empty();
    tree.insert(path("loader.bin"), file(loader)).unwrap();
    let params = iso::Params {
        bios: Some(path("loader.bin")),
        boot_info: true,
        bios_load: Some(4),
        ..iso::Params::new("BOOT", EPOCH)
    };
    let image = bytes(&iso::layout(&tree, &params).unwrap());
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("image"), image).unwrap();
    // QEMU's exit code has eight bits.
    let expected = (sum as u8) & 0x7f;
    assert!(expected != 0);
    assert_eq!(boot(folder.path(), &DISC), Ended::With(expected));
}

#[test]
fn secure_boot_starts_what_is_signed_and_refuses_what_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let stub = folder.path().join("stub.elf");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/stub/build.sh");
    ok("gcc", Command::new("sh").arg(script).arg("x86_64").arg(&stub));
    let stub = fs::read(stub).unwrap();
    let pem = |suffix: &str| PathBuf::from(format!("{EXAMPLE}.{suffix}"));
    let mut command = Command::new("openssl");
    command.args(["pkey", "-passin", "pass:snakeoil", "-in"]).arg(pem("key"));
    let key = RsaKey::from_pem(&ok("openssl", &mut command)).unwrap();
    let certificates = Certificates::parse(&fs::read(pem("pem")).unwrap()).unwrap();

    // The kernel in it has no signature of its own.
    let plan = || uki(stub.clone(), program(36));
    let put = |program: Vec<u8>| {
        let tree = esp(program);
        let esp = fat::layout(&tree, &fat::Params::default()).unwrap();
        let partition = disk::Partition {
            kind: Type::ESP,
            name: "esp".to_owned(),
            content: &esp as &dyn Image,
            size: None,
            guid: None,
            attributes: 0,
            in_mbr: false,
        };
        let params = disk::Params::new(Digest::of(b"seed"));
        let image = bytes(&disk::layout(&[partition], &params).unwrap());
        fs::write(folder.path().join("image"), image).unwrap();
    };
    put(bytes(&plan()));
    assert_eq!(boot_efi(folder.path(), NO_KEYS, &STICK), Ended::With(36));
    assert_eq!(boot_efi(folder.path(), EXAMPLE_KEYS, &STICK), Ended::Refused);
    let signed = bytes(&plan().sign(&certificates, &key).unwrap());
    put(signed.clone());
    assert_eq!(boot_efi(folder.path(), EXAMPLE_KEYS, &STICK), Ended::With(36));
    // Signed, and then changed: the command line.
    let at = signed.windows(5).position(|bytes| bytes == b"quiet").unwrap();
    let mut changed = signed;
    changed[at] = b'Q';
    put(changed);
    assert_eq!(boot_efi(folder.path(), EXAMPLE_KEYS, &STICK), Ended::Refused);
}
