//! Real machines under QEMU: the probe image, the monitor, and what is left when all is over.

#![allow(clippy::unwrap_used)] // tests

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::json;
use stagex_boot::{
    Acceleration, Access, Arch, Bios, BootError, Firmware, Machine, PROBE_EXIT, PROBE_TEXT,
    Pattern, Qemu, Vm, probe_image,
};

const SOON: Duration = Duration::from_secs(60);

fn qemu() -> Qemu {
    let path = std::env::var_os("PATH").unwrap();
    Qemu::find(Arch::X86_64, &path).expect("these tests need QEMU")
}

fn tcg() -> Acceleration {
    Acceleration::Tcg { reason: "a test".into() }
}

/// A machine that is not started before it is told to.
fn paused() -> Machine {
    let mut machine = Machine::new(Arch::X86_64, Firmware::Default);
    machine.memory = 64;
    machine.paused = true;
    machine
}

/// The ids of the processes whose command line names `folder`.
fn processes(folder: &Path) -> Vec<String> {
    let wanted = folder.to_str().unwrap();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let id = entry.file_name().to_string_lossy().into_owned();
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if id.bytes().all(|b| b.is_ascii_digit()) && line.contains("qemu") && line.contains(wanted)
        {
            found.push(id);
        }
    }
    found
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < SOON, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn the_probe_speaks_on_the_console_and_ends_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("probe.bin");
    fs::write(&image, probe_image()).unwrap();
    let mut machine = Machine::new(Arch::X86_64, Firmware::Bios(Bios { image, vga: None }));
    machine.memory = 64;
    machine.extra = vec!["-device".into(), "isa-debug-exit,iobase=0xf4,iosize=1".into()];
    let mut vm = Vm::start(&qemu(), &machine, &tcg(), folder.path()).unwrap();
    let found = vm.console().expect(&Pattern::Text("stagex probe\n".into()), SOON).unwrap();
    assert!(found.at < SOON);
    let exit = vm.wait(SOON).unwrap();
    assert_eq!(exit.status.code(), Some(PROBE_EXIT));
    let transcript = fs::read_to_string(folder.path().join("console.log")).unwrap();
    assert!(transcript.ends_with(&format!("] {PROBE_TEXT}")), "{transcript}");
    assert!(transcript.starts_with("[     "), "{transcript}");
}

#[test]
fn the_monitor_plugs_sticks_takes_pictures_and_quits() {
    let folder = tempfile::tempdir().unwrap();
    let stick = folder.path().join("a stick, with comma.img");
    fs::write(&stick, vec![0; 1 << 20]).unwrap();
    let mut machine = paused();
    machine.display = true;
    machine.network = vec!["e1000e".into(), "virtio-net-pci".into()];
    let mut vm = Vm::start(&qemu(), &machine, &tcg(), folder.path()).unwrap();
    let status = vm.qmp().execute("query-status", json!({})).unwrap();
    assert_eq!(status["running"], false);

    vm.plug("data", &stick, Access::ReadWrite).unwrap();
    let drives = vm.qmp().execute("query-named-block-nodes", json!({"flat": true})).unwrap();
    assert!(drives.to_string().contains("node-data"), "{drives}");
    let twice = vm.plug("data", &stick, Access::ReadWrite).unwrap_err().to_string();
    assert!(twice.contains("blockdev-add was refused"), "{twice}");
    vm.unplug("data").unwrap();
    vm.plug("data", &stick, Access::ReadOnly).unwrap();

    let shot = vm.screenshot().unwrap();
    assert!(shot.width >= 640 && shot.height >= 400, "{} x {}", shot.width, shot.height);
    let exit = vm.quit().unwrap();
    assert_eq!((exit.reason.as_deref(), exit.status.code()), (Some("host-qmp-quit"), Some(0)));
    assert_eq!(processes(folder.path()), Vec::<String>::new());
}

#[test]
fn a_guest_that_says_nothing_is_a_timeout_and_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = paused();
    machine.extra.extend(["-name".into(), folder.path().to_str().unwrap().into()]);
    let mut vm = Vm::start(&qemu(), &machine, &tcg(), folder.path()).unwrap();
    assert!(!processes(folder.path()).is_empty());
    let error = vm
        .console()
        .expect(&Pattern::Text("hello".into()), Duration::from_millis(100))
        .unwrap_err();
    assert!(matches!(error, BootError::Timeout { .. }), "{error}");
    let error = vm.wait(Duration::from_millis(50)).unwrap_err();
    assert!(matches!(error, BootError::StillRunning { .. }), "{error}");
    drop(vm);
    assert_eq!(processes(folder.path()), Vec::<String>::new());
}

#[test]
fn what_qemu_refuses_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = paused();
    machine.network = vec!["no-such-card".into()];
    let error = Vm::start(&qemu(), &machine, &tcg(), folder.path()).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, BootError::Start { .. }) && text.contains("no-such-card"), "{text}");
    let machine = Machine::new(Arch::Arm64, Firmware::Default);
    let error = Vm::start(&qemu(), &machine, &tcg(), folder.path()).err().unwrap();
    assert!(matches!(error, BootError::Machine { .. }), "{error}");
}

/// Not a test by itself: what the next one starts and kills.
#[test]
fn child_that_is_killed() {
    let Some(folder) = std::env::var_os("STAGEX_BOOT_TEST_FOLDER") else { return };
    let folder = Path::new(&folder);
    let mut machine = paused();
    machine.extra.extend(["-name".into(), folder.to_str().unwrap().into()]);
    let _vm = Vm::start(&qemu(), &machine, &tcg(), folder).unwrap();
    fs::write(folder.join("ready"), "").unwrap();
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn a_killed_owner_leaves_no_process() {
    // A deep folder: longer than the address of a socket can be.
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("d".repeat(120));
    fs::create_dir(&deep).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_is_killed"])
        .env("STAGEX_BOOT_TEST_FOLDER", &deep)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until("QEMU", || deep.join("ready").exists());
    assert!(!processes(&deep).is_empty());
    // SIGKILL: nothing of the child's own can clean up.
    child.kill().unwrap();
    child.wait().unwrap();
    until("the end of QEMU", || processes(&deep).is_empty());
}
