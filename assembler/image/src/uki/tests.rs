use proptest::prelude::*;
use stagex_tree::Content;

use super::*;
use crate::Image;

/// A position-independent ELF with one page of code, one of constants and one of data; where
/// `relocated`, the data's second word is the address of its first.
fn stub_elf(machine: Machine, relocated: bool) -> Vec<u8> {
    let mut elf = vec![0; 0x4000];
    let mut put = |at: usize, bytes: &[u8]| elf[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"\x7fELF\x02\x01\x01");
    put(16, &3_u16.to_le_bytes());
    put(18, &machine.elf().to_le_bytes());
    put(24, &0x1004_u64.to_le_bytes());
    put(32, &64_u64.to_le_bytes());
    put(54, &56_u16.to_le_bytes());
    put(56, &4_u16.to_le_bytes());
    let mut header = |index: usize, kind: u32, flags: u32, at: u64, file: u64, memory: u64| {
        let start = 64 + index * 56;
        put(start, &kind.to_le_bytes());
        put(start + 4, &flags.to_le_bytes());
        for (field, value) in [at, at, at, file, memory].into_iter().enumerate() {
            put(start + 8 + field * 8, &value.to_le_bytes());
        }
    };
    header(0, 1, 5, 0x1000, 0x20, 0x20);
    header(1, 1, 4, 0x2000, 0x100, 0x100);
    header(2, 1, 6, 0x3000, 0x10, 0x1810);
    header(3, 2, 4, 0x2080, 0x40, 0x40);
    put(0x1004, b"code");
    if relocated {
        let rela = [0x3008_u64, relative(machine), 0x3000];
        for (index, word) in rela.into_iter().chain([0; 13]).chain([7, 0x2000, 8, 24]).enumerate() {
            put(0x2000 + index * 8, &word.to_le_bytes());
        }
    }
    elf
}

fn relative(machine: Machine) -> u64 {
    match machine {
        Machine::X86_64 => 8,
        Machine::Arm64 => 1027,
        Machine::Riscv64 => 3,
    }
}

/// The least that counts as a kernel: an EFI program with no sections.
fn kernel(machine: Machine) -> Vec<u8> {
    let mut pe = vec![0; 0x1000];
    let mut put = |at: usize, bytes: &[u8]| pe[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"MZ");
    put(0x3c, &64_u32.to_le_bytes());
    put(64, b"PE\0\0");
    put(68, &machine.pe().to_le_bytes());
    put(84, &240_u16.to_le_bytes());
    put(88, &0x20b_u16.to_le_bytes());
    put(88 + 68, &10_u16.to_le_bytes());
    put(0x202, b"HdrS");
    put(0x20e, &0x300_u16.to_le_bytes());
    put(0x500, b"6.12.107-airgap (stagex) #1\0");
    pe
}

fn uki(machine: Machine) -> Uki {
    Uki {
        stub: Content::from_bytes(stub_elf(machine, false)),
        kernel: Content::from_bytes(kernel(machine)),
        initrd: Some(Content::from_bytes(*b"070701 and so on")),
        cmdline: "console=ttyS0 quiet".into(),
        os_release: Some("ID=airgap\n".into()),
        uname: None,
        sbat: Some("sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim\n".into()),
        ucode: None,
        dtb: None,
    }
}

fn bytes(uki: &Uki) -> Vec<u8> {
    let plan = uki.plan().unwrap();
    let mut bytes = Vec::new();
    plan.write(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, plan.len());
    bytes
}

#[test]
fn what_goes_in_is_read_back() {
    for machine in [Machine::X86_64, Machine::Arm64, Machine::Riscv64] {
        let uki = uki(machine);
        let written = Content::from_bytes(bytes(&uki));
        let image = PeImage::parse(&written).unwrap();
        assert_eq!(image.machine, machine);
        assert_eq!(image.entry, 0x1004);
        assert_eq!(image.certificates, 0);
        assert_eq!(image.checksum, PeImage::compute_checksum(&written).unwrap());
        assert!(image.is_uki());
        let names: Vec<&str> = image.sections.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(
            names,
            [
                ".text", ".rodata", ".data", ".reloc", ".osrel", ".cmdline", ".uname", ".sbat",
                ".linux", ".initrd"
            ]
        );
        assert_eq!(image.section(".linux").unwrap().content, uki.kernel);
        assert_eq!(image.section(".initrd").unwrap().content, uki.initrd.unwrap());
        assert_eq!(image.text(".cmdline").unwrap().unwrap(), uki.cmdline);
        assert_eq!(image.text(".uname").unwrap().unwrap(), "6.12.107-airgap");
        assert_eq!(image.text(".osrel").unwrap().unwrap(), "ID=airgap\n");
        // The data segment's zeros take memory, not file.
        assert_eq!(image.section(".data").unwrap().size, 0x1810);
        let mut end = 0x1000;
        for section in &image.sections {
            assert_eq!(section.address % 0x1000, 0);
            assert_eq!(section.offset % 0x200, 0);
            assert!(section.address >= end, "{} overlaps", section.name);
            end = section.address + section.size;
        }
        assert_eq!(image.size_of_image, end.next_multiple_of(0x1000));
    }
}

#[test]
fn relocations_are_applied_and_listed() {
    for machine in [Machine::X86_64, Machine::Arm64, Machine::Riscv64] {
        let mut uki = uki(machine);
        uki.stub = Content::from_bytes(stub_elf(machine, true));
        let image = PeImage::parse(&Content::from_bytes(bytes(&uki))).unwrap();
        let data = image.section(".data").unwrap().content.read().unwrap();
        assert_eq!(data[8..16], 0x3000_u64.to_le_bytes());
        let reloc = image.section(".reloc").unwrap().content.read().unwrap();
        assert_eq!(reloc, [0, 0x30, 0, 0, 12, 0, 0, 0, 0x08, 0xa0, 0, 0]);
    }
}

/// The stub of this repository, compiled here, and read by binutils.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_stub_becomes_an_image_that_others_read() {
    let run = |program: &str, args: &[&std::ffi::OsStr]| {
        let output = std::process::Command::new(program).args(args).output();
        let output = output.unwrap_or_else(|e| panic!("this test needs {program}: {e}"));
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let folder = tempfile::tempdir().unwrap();
    let elf = folder.path().join("stub.elf");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../firmware/stub/build.sh");
    run("sh", &[script.as_ref(), "x86_64".as_ref(), elf.as_ref()]);
    let mut uki = uki(Machine::X86_64);
    uki.stub = Content::from_bytes(std::fs::read(&elf).unwrap());
    let efi = folder.path().join("uki.efi");
    std::fs::write(&efi, bytes(&uki)).unwrap();

    let text = run("objdump", &["-h".as_ref(), efi.as_ref()]);
    assert!(text.contains("file format pei-x86-64"), "{text}");
    let row = |name: &str| {
        let line = text.lines().find(|line| line.split(' ').any(|word| word == name));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).split_whitespace().nth(2).unwrap()
    };
    assert_eq!(u64::from_str_radix(row(".linux"), 16).unwrap(), uki.kernel.len());
    assert_eq!(u64::from_str_radix(row(".cmdline"), 16).unwrap(), uki.cmdline.len() as u64);
    let text = run("objdump", &["-p".as_ref(), efi.as_ref()]);
    assert!(text.contains("(EFI application)") && text.contains("NX_COMPAT"), "{text}");
}

#[test]
fn empty_parts_have_no_section() {
    let mut uki = uki(Machine::X86_64);
    uki.cmdline.clear();
    uki.initrd = Some(Content::from_bytes([]));
    uki.os_release = None;
    uki.sbat = None;
    let image = PeImage::parse(&Content::from_bytes(bytes(&uki))).unwrap();
    assert!([".cmdline", ".initrd", ".osrel", ".sbat"].iter().all(|n| image.section(n).is_none()));
    assert_eq!(image.text(".cmdline").unwrap(), None);
}

#[test]
fn parts_that_would_not_boot_are_refused() {
    let error = |change: &dyn Fn(&mut Uki)| {
        let mut uki = uki(Machine::X86_64);
        change(&mut uki);
        uki.plan().unwrap_err().to_string()
    };
    let text = error(&|uki| uki.kernel = Content::from_bytes([0x1f, 0x8b, 8, 0]));
    assert!(text.starts_with("the kernel is compressed with gzip"), "{text}");
    let text = error(&|uki| uki.kernel = Content::from_bytes(*b"\x7fELF\x02\x01\x01"));
    assert!(text.contains("ELF file (vmlinux)"), "{text}");
    let text = error(&|uki| uki.kernel = Content::from_bytes(*b"MZ"));
    assert!(text.contains("headers end early"), "{text}");
    let text = error(&|uki| uki.kernel = Content::from_bytes(kernel(Machine::Arm64)));
    assert_eq!(text, "the EFI stub is for x86_64, but the kernel is for arm64");
    let text = error(&|uki| uki.cmdline = "quiet\n".into());
    assert!(text.contains(r"holds '\n' at character 6"), "{text}");
    let text = error(&|uki| uki.os_release = Some("ID=a\0b".into()));
    assert_eq!(text, "the text for section .osrel holds a NUL at byte 4");
    let text = error(&|uki| uki.stub = Content::from_bytes(*b"#!/bin/sh"));
    assert!(text.contains("not a 64-bit little-endian ELF"), "{text}");
}

#[test]
fn a_stub_that_pe_cannot_hold_is_refused() {
    let error = |at: usize, patch: &[u8]| {
        let mut elf = stub_elf(Machine::X86_64, true);
        elf[at..at + patch.len()].copy_from_slice(patch);
        super::elf::Stub::parse(&elf).unwrap_err()
    };
    assert_eq!(error(16, &[2]), StubProblem::NotPie);
    assert_eq!(error(18, &[3]), StubProblem::Machine(3));
    assert_eq!(error(25, &[0x20]), StubProblem::Entry(0x2004));
    assert_eq!(error(64 + 4, &[7]), StubProblem::WritableCode(0x1000));
    assert_eq!(error(64 + 56 + 4, &[6]), StubProblem::Duplicate(".data"));
    assert_eq!(error(64 + 17, &[0x08]), StubProblem::Placement(0x0800));
    assert_eq!(error(64 + 9, &[0, 1]), StubProblem::Outside("segment"));
    assert_eq!(error(0x2008, &[6]), StubProblem::Relocation { kind: 6, offset: 0x3008 });
    assert_eq!(error(0x2080, &[36]), StubProblem::RelocationTable(36));
    assert_eq!(error(0x2001, &[0x40]), StubProblem::Outside("relocated word"));
}

#[test]
fn an_image_too_large_for_pe_is_refused_before_it_is_read() {
    let mut uki = uki(Machine::X86_64);
    let nowhere = std::path::Path::new("/nonexistent");
    for len in [u64::from(u32::MAX), u64::MAX - 4096, u64::MAX] {
        uki.initrd = Some(Content::from_file(nowhere, 0, len));
        assert!(matches!(uki.plan(), Err(UkiError::TooLarge { .. })), "{len}");
    }
}

proptest! {
    #[test]
    fn no_input_makes_the_readers_panic(
        noise in proptest::collection::vec((0_usize..0x600, any::<u8>()), 0..24),
        len in 0_usize..0x4000,
    ) {
        let mut elf = stub_elf(Machine::X86_64, true);
        let mut image = bytes(&uki(Machine::X86_64));
        for (at, byte) in &noise {
            elf[*at] = *byte;
            elf[(0x2000 + at).min(0x3fff)] = *byte;
            image[*at] = *byte;
        }
        elf.truncate(len);
        let _ = super::elf::Stub::parse(&elf);
        image.truncate(len);
        let image = Content::from_bytes(image);
        let _ = PeImage::compute_checksum(&image);
        if let Ok(parsed) = PeImage::parse(&image) {
            for section in &parsed.sections {
                prop_assert!(section.content.read().is_ok());
            }
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_image(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = PeImage::parse(&Content::from_bytes(bytes.clone()));
        prop_assert!(super::elf::Stub::parse(&bytes).is_err());
    }
}
