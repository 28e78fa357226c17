//! Scenarios on a machine whose firmware is the probe: it says one line and powers off.

#![allow(clippy::unwrap_used)] // tests

use std::{collections::BTreeMap, fs, path::Path, sync::atomic::AtomicBool, time::Duration};

use stagex_boot::{
    Acceleration, Arch, Attach, Qemu, Uefi, probe_image,
    scenario::{Outcome, Output, Report, Scenario, Setup, junit, run},
};

const HEAD: &str = r#"
name = "the probe"
box = "probe"
output = "disk"
attach = "virtio"
memory = 64
display = true
network = ["e1000e", "virtio-net-pci"]
timeout = 60
"#;

/// The probe, but it echoes one byte that is typed before it powers off.
fn patient_probe() -> Vec<u8> {
    let mut image = probe_image();
    // `out dx, al` to the debug port and `mov eax, 8000f840` make place for `jmp 200`.
    assert_eq!(image[0x45..0x4b], [0xee, 0xb8, 0x40, 0xf8, 0x00, 0x80]);
    image[0x45..0x4a].copy_from_slice(&[0xe9, 0xb6, 0x01, 0x00, 0x00]);
    #[rustfmt::skip]
    let wait = [
        0x66, 0xba, 0xfd, 0x03,       // 200 mov dx, 3fd (line status)
        0xf3, 0x90,                   // 204 wait: pause (QEMU unplugs nothing in a tight loop)
        0xec,                         // 206 in al, dx
        0xa8, 0x01,                   // 207 test al, 1 (data ready)
        0x74, 0xf9,                   // 209 jz wait
        0xb2, 0xf8,                   // 20b mov dl, f8
        0xec,                         // 20d in al, dx
        0xee,                         // 20e out dx, al
        0xb8, 0x40, 0xf8, 0x00, 0x80, // 20f mov eax, 8000f840
        0xe9, 0x32, 0xfe, 0xff, 0xff, // 214 jmp 4b
    ];
    image[0x200..0x200 + wait.len()].copy_from_slice(&wait);
    image
}

fn scenario(folder: &Path, rest: &str) -> Report {
    let scenario = Scenario::parse(Path::new("t.toml"), &format!("{HEAD}{rest}")).unwrap();
    run_in(folder, &scenario)
}

fn run_in(folder: &Path, scenario: &Scenario) -> Report {
    let qemu = Qemu::find(Arch::X86_64, &std::env::var_os("PATH").unwrap());
    let qemu = qemu.expect("these tests need QEMU");
    let code = folder.join("code.fd");
    fs::write(&code, patient_probe()).unwrap();
    let vars = folder.join("vars.fd");
    fs::write(&vars, vec![0; 1 << 16]).unwrap();
    let run_folder = folder.join("run");
    fs::create_dir(&run_folder).unwrap();
    let image = scenario.image(folder, Arch::X86_64);
    fs::create_dir_all(image.parent().unwrap()).unwrap();
    fs::write(&image, vec![0; 1 << 20]).unwrap();
    let setup = Setup {
        qemu: &qemu,
        acceleration: &Acceleration::Tcg { reason: "a test".into() },
        image: &image,
        firmware: Some(&Uefi { code, vars, below: None }),
        bios: None,
        cmdline: None,
        kernel: None,
        run: &run_folder,
        pictures: folder,
        variables: &BTreeMap::from([("program".to_owned(), "stagex".to_owned())]),
        stop: &AtomicBool::new(false),
    };
    run(scenario, &setup)
}

fn failure(report: &Report) -> (Option<usize>, &str) {
    match &report.outcome {
        Outcome::Passed => panic!("{report}"),
        Outcome::Failed { line, reason, .. } => (*line, reason),
    }
}

#[test]
fn a_machine_that_does_as_expected_passes() {
    let folder = tempfile::tempdir().unwrap();
    let report = scenario(
        folder.path(),
        r#"
[[stick]]
name = "data"
label = "DATA"
megabytes = 2
files = { "a.txt" = { text = "hello" } }
[[step]]
expect = "${program} probe"
absent = "eth[0-9]"
measure = "line"
[[step]]
plug = "data"
[[step]]
unplug = "data"
[[step]]
screenshot = "screen.png"
[[step]]
press = ["a", "shift-b"]
[[step]]
send = "x"
[[step]]
expect = "x"
[[step]]
note = "the end"
poweroff = true
[[check]]
holds = { stick = "data", file = "a.txt", text = "hello" }
[[check]]
lacks = { stick = "data", file = "b.txt" }
[[check]]
clean = "data"
"#,
    );
    assert!(report.passed(), "{report}");
    assert_eq!(report.steps.len(), 8);
    assert_eq!(report.steps[7].name, "the end");
    assert!(report.measures["line"] < Duration::from_secs(60));
    let transcript = fs::read_to_string(&report.transcript).unwrap();
    assert!(transcript.contains("] stagex probe\n"), "{transcript}");
    assert!(transcript.contains("] << \"x\"\n"), "{transcript}");
    let png = fs::read(folder.path().join("screen.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG") && png.len() > 1000, "{} bytes", png.len());
    assert!(junit(&[report]).contains("failures=\"0\""));
}

#[test]
fn what_does_not_come_fails_at_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let report = scenario(folder.path(), "[[step]]\nexpect = \"ready\"\ntimeout = 2\n");
    let (line, reason) = failure(&report);
    assert_eq!(line, Some(10));
    assert!(reason.starts_with("\"ready\" did not appear on the console within 2 s"), "{reason}");
    assert!(reason.ends_with("    stagex probe"), "{reason}");
    assert!(report.to_string().contains("t.toml:10: expect \"ready\""), "{report}");
    assert_eq!(report.steps.len(), 1);
}

#[test]
fn what_must_not_be_shown_fails() {
    let folder = tempfile::tempdir().unwrap();
    let report = scenario(folder.path(), "reject = [\"stagex\"]\n[[step]]\nexpect = \"ready\"\n");
    assert!(failure(&report).1.starts_with("\"stagex\" appeared on the console"), "{report}");
    let folder = tempfile::tempdir().unwrap();
    let report = scenario(folder.path(), "[[step]]\nexpect = \"probe\"\nabsent = \"st[a-z]+\"\n");
    assert_eq!(failure(&report).1, "\"stagex\" is shown, which /st[a-z]+/ must not be");
}

#[test]
fn a_machine_that_ends_otherwise_fails() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[[step]]\nexpect = \"probe\"\nsend = \"y\"\n[[step]]\nexpect = \"ready\"\n";
    let report = scenario(folder.path(), text);
    let (line, reason) = failure(&report);
    assert_eq!(line, Some(13));
    assert!(reason.starts_with("the machine ended before \"ready\" appeared"), "{reason}");
    let folder = tempfile::tempdir().unwrap();
    let report = scenario(folder.path(), "[[step]]\npoweroff = true\ntimeout = 1\n");
    assert!(failure(&report).1.starts_with("the machine did not power off within 1 s"), "{report}");
}

#[test]
fn the_test_of_a_box_is_a_scenario() {
    let of_box = |expect: &[&str]| {
        let expect: Vec<String> = expect.iter().map(|text| (*text).to_owned()).collect();
        let file = Path::new("boxes/probe/box.toml");
        let soon = Duration::from_secs(2);
        Scenario::of_box(file, "probe", Output::Disk, Attach::Usb, &expect, soon)
    };
    let folder = tempfile::tempdir().unwrap();
    let report = run_in(folder.path(), &of_box(&["stagex", "probe"]));
    assert!(report.passed() && report.measures.contains_key("ready"), "{report}");
    let folder = tempfile::tempdir().unwrap();
    let report = run_in(folder.path(), &of_box(&["${ready}"]));
    let (line, reason) = failure(&report);
    assert_eq!(line, None);
    assert!(reason.starts_with("\"${ready}\" did not appear"), "{reason}");
}

#[test]
fn checks_fail_at_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let report = scenario(
        folder.path(),
        "[[stick]]\nname = \"s\"\nlabel = \"S\"\nmegabytes = 2\n[[step]]\nexpect = \"probe\"\n\
         [[check]]\nlacks = { stick = \"s\", file = \"a\" }\n\
         [[check]]\nholds = { stick = \"s\", file = \"a\", text = \"\" }\n",
    );
    let (line, reason) = failure(&report);
    assert_eq!(line, Some(18));
    assert!(reason.starts_with("there is no file a on stick s"), "{reason}");
}
