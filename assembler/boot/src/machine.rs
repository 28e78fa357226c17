//! The description of a machine, and QEMU's command line for it.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::json;

use crate::{Acceleration, BootError};

/// An architecture that boxes are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit Arm.
    Arm64,
    /// 64-bit RISC-V.
    Riscv64,
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
            Self::Riscv64 => "riscv64",
        })
    }
}

/// A kind of machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Model {
    /// What most machines of the architecture are like: `q35`, `virt`.
    #[default]
    Usual,
    /// A machine without buses: virtio by memory alone, as enclaves have it. There is no power to
    /// switch: it ends by a reset. On x86_64 it is QEMU's `microvm`; elsewhere `virt`, of which a
    /// kernel that knows no buses sees no more.
    Microvm,
}

impl Model {
    /// What QEMU calls it.
    pub(crate) fn name(self, arch: Arch) -> &'static str {
        match (arch, self) {
            (Arch::X86_64, Self::Usual) => "q35",
            (Arch::X86_64, Self::Microvm) => "microvm",
            (Arch::Arm64 | Arch::Riscv64, _) => "virt",
        }
    }
}

/// What QEMU offers the guest. There is nothing else: no default devices, no network.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The architecture.
    pub arch: Arch,
    /// The kind of machine.
    pub model: Model,
    /// Memory in MiB.
    pub memory: u32,
    /// Processors.
    pub cpus: u32,
    /// What it starts.
    pub firmware: Firmware,
    /// Drives, in the order in which firmware tries them.
    pub drives: Vec<Drive>,
    /// Network devices by QEMU's names (`e1000e`, `virtio-net-pci`), on a hub that leads nowhere.
    pub network: Vec<String>,
    /// A port of the guest that a port of this machine leads to, by the first network device:
    /// see [`crate::Vm::forwarded_port`]. The guest reaches nothing of this machine, nor beyond.
    pub forward: Option<u16>,
    /// A graphics adapter and a USB keyboard.
    pub display: bool,
    /// Whether it starts again when the guest says so. Otherwise that ends it.
    pub reboots: bool,
    /// Whether it stands still until the monitor says `cont`.
    pub paused: bool,
    /// Further arguments, as QEMU takes them.
    pub extra: Vec<String>,
}

/// What a machine starts.
#[derive(Debug, Clone)]
pub enum Firmware {
    /// The machine's own default (SeaBIOS on x86_64).
    Default,
    /// An image in place of it.
    Bios(Bios),
    /// UEFI in flash.
    Uefi(Uefi),
    /// A kernel that QEMU hands over.
    Kernel {
        /// The kernel.
        kernel: PathBuf,
        /// Its initramfs.
        initrd: Option<PathBuf>,
        /// Its command line.
        cmdline: String,
        /// Firmware that takes it from QEMU and starts it; without, QEMU puts it into memory
        /// itself, with code of its own.
        uefi: Option<Uefi>,
        /// Or firmware of a [`Model::Microvm`], which does the same.
        rom: Option<PathBuf>,
    },
}

/// A BIOS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bios {
    /// The BIOS itself.
    pub image: PathBuf,
    /// That of the graphics adapter.
    pub vga: Option<PathBuf>,
}

/// UEFI firmware in flash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uefi {
    /// The code; not written.
    pub code: PathBuf,
    /// The variables to begin with; the machine gets a copy.
    pub vars: PathBuf,
    /// What runs below it, in RISC-V's machine mode.
    pub below: Option<PathBuf>,
}

/// A drive.
#[derive(Debug, Clone)]
pub struct Drive {
    /// A name of letters, digits and `-`, by which it can be unplugged.
    pub id: String,
    /// What kind of drive the guest sees.
    pub attach: Attach,
    /// The image: raw, or in QEMU's own format where its name ends in `.qcow2`.
    pub path: PathBuf,
    /// What becomes of what the guest writes.
    pub access: Access,
}

/// What kind of drive the guest sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Attach {
    /// A CD-ROM drive.
    Cdrom,
    /// A USB stick.
    Usb,
    /// A virtio disk.
    Virtio,
    /// An NVMe disk.
    Nvme,
}

/// What becomes of what the guest writes to a drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It cannot write.
    ReadOnly,
    /// It writes to a copy in the run's folder.
    Copy,
    /// It writes to the image.
    ReadWrite,
}

/// The folder of a run in which QEMU looks for ROMs first.
pub(crate) const ROMS: &str = "roms";
/// ROMs that QEMU puts into a machine unasked, where it finds them: for a kernel without firmware,
/// for a BIOS under KVM on old processors, for the screen of a BIOS. Nothing here needs them, and
/// each would be code that nobody built: the machine gets an empty one instead.
const UNASKED: [&str; 4] =
    ["linuxboot_dma.bin", "linuxboot.bin", "kvmvapic.bin", "vgabios-ramfb.bin"];

/// The format of an image that is just the bytes of its disk.
pub(crate) const RAW: &str = "raw";

/// Puts empty ROMs in the place of [`UNASKED`].
pub(crate) fn write_roms(run: &Path) -> Result<(), BootError> {
    let roms = run.join(ROMS);
    std::fs::create_dir_all(&roms).map_err(BootError::file(&roms))?;
    for name in UNASKED {
        let path = roms.join(name);
        // Without the two bytes that begin a ROM, so nothing takes it for one.
        std::fs::write(&path, [0; 512]).map_err(BootError::file(&path))?;
    }
    Ok(())
}

impl Machine {
    /// A machine with 1 GiB, one processor, and neither drives, network nor display.
    pub fn new(arch: Arch, firmware: Firmware) -> Self {
        Self {
            arch,
            model: Model::Usual,
            memory: 1024,
            cpus: 1,
            firmware,
            drives: Vec::new(),
            network: Vec::new(),
            forward: None,
            display: false,
            reboots: false,
            paused: false,
            extra: Vec::new(),
        }
    }

    /// QEMU's arguments. All paths of the machine are absolute; sockets and copies are in `run`,
    /// where QEMU is started.
    pub(crate) fn arguments(
        &self,
        acceleration: &Acceleration,
        run: &Path,
    ) -> Result<Vec<String>, BootError> {
        let mut args = Arguments::default();
        let kvm = matches!(acceleration, Acceleration::Kvm);
        let mut machine = self.model.name(self.arch).to_owned();
        machine.push_str(match (self.arch, self.model) {
            (Arch::X86_64, Model::Usual) => ",vmport=off",
            // With ACPI it would have no timer that needs no hypervisor's help.
            (Arch::X86_64, Model::Microvm) => ",acpi=off",
            _ => "",
        });
        machine.push_str(if kvm { ",accel=kvm" } else { ",accel=tcg" });
        args.add(["-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"]);
        args.pair("-m", self.memory.to_string());
        args.pair("-smp", self.cpus.to_string());
        let cpu = match (kvm, self.arch) {
            (true, _) => "host",
            // The kernel signs the addresses that it returns to. Emulating the architecture's own
            // cipher for that is slow.
            (false, Arch::Arm64) => "max,pauth-impdef=on",
            // With these the kernel fills and copies memory by instructions that are emulated byte
            // by byte.
            (false, Arch::X86_64) => "max,erms=off,fsrm=off",
            (false, Arch::Riscv64) => "max",
        };
        args.pair("-cpu", cpu);

        match &self.firmware {
            Firmware::Default => {}
            Firmware::Bios(bios) => args.pair("-bios", text(&bios.image)?),
            Firmware::Uefi(uefi) => args.uefi(uefi, run, &mut machine)?,
            Firmware::Kernel { kernel, initrd, cmdline, uefi, rom } => {
                if let Some(rom) = rom {
                    args.pair("-bios", text(rom)?);
                }
                if let Some(uefi) = uefi {
                    args.uefi(uefi, run, &mut machine)?;
                }
                args.pair("-kernel", text(kernel)?);
                if let Some(initrd) = initrd {
                    args.pair("-initrd", text(initrd)?);
                }
                args.pair("-append", cmdline);
            }
        }
        args.pair("-machine", machine);
        args.pair("-L", text(&run.join(ROMS))?);

        args.add(["-chardev", "socket,id=console,path=console.sock"]);
        args.add(["-serial", "chardev:console"]);
        args.add(["-chardev", "socket,id=monitor,path=monitor.sock"]);
        args.add(["-mon", "chardev=monitor,mode=control"]);
        match self.model {
            Model::Usual => {
                args.device(json!({"driver": "virtio-rng-pci"}));
                args.device(json!({"driver": "qemu-xhci", "id": "xhci"}));
            }
            Model::Microvm => args.device(json!({"driver": "virtio-rng-device"})),
        }
        if self.display {
            match (self.arch, &self.firmware) {
                // UEFI drives it without the adapter's own BIOS.
                (Arch::X86_64, Firmware::Uefi(_) | Firmware::Kernel { .. }) => {
                    args.device(json!({"driver": "VGA", "romfile": ""}));
                }
                (Arch::X86_64, Firmware::Bios(Bios { vga: Some(vga), .. })) => {
                    args.device(json!({"driver": "VGA", "romfile": text(vga)?}));
                }
                (Arch::X86_64, _) => args.device(json!({"driver": "VGA"})),
                // A piece of memory that is the screen, which a kernel can go on using that has
                // no driver for any adapter.
                (Arch::Arm64 | Arch::Riscv64, _) => args.device(json!({"driver": "ramfb"})),
            }
            args.device(json!({"driver": "usb-kbd", "bus": "xhci.0"}));
        }
        for (index, drive) in self.drives.iter().enumerate() {
            self.drive(drive, index, run, &mut args)?;
        }
        for (index, model) in self.network.iter().enumerate() {
            let netdev = format!("net{index}");
            let back_end = match self.forward.filter(|_| index == 0) {
                // QEMU chooses the port: one that was looked for before may be taken since.
                Some(port) => format!("user,restrict=on,hostfwd=tcp:127.0.0.1:0-:{port}"),
                None => "hubport,hubid=0".to_owned(),
            };
            args.pair("-netdev", format!("{back_end},id={netdev}"));
            let mut device = json!({"driver": model, "netdev": netdev});
            if !model.starts_with("usb") {
                // What boots from the network is not there.
                device["romfile"] = "".into();
            }
            args.device(device);
        }
        args.0.extend(self.extra.iter().cloned());
        Ok(args.0)
    }

    fn drive(
        &self,
        drive: &Drive,
        index: usize,
        run: &Path,
        args: &mut Arguments,
    ) -> Result<(), BootError> {
        if !drive.id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || drive.id.is_empty()
        {
            let what = format!("a drive named {:?}: letters, digits and - are used", drive.id);
            return Err(BootError::Machine { arch: self.arch, what });
        }
        let path = match drive.access {
            Access::Copy => text(&copy_path(run, drive))?,
            Access::ReadOnly | Access::ReadWrite => text(&drive.path)?,
        };
        let node = node_name(&drive.id);
        let read_only = drive.access == Access::ReadOnly || drive.attach == Attach::Cdrom;
        let is_qcow2 = drive.path.extension().is_some_and(|suffix| suffix == "qcow2");
        let format = if is_qcow2 { "qcow2" } else { RAW };
        args.blockdev(&node, format, &path, read_only);
        let order = index + 1;
        match drive.attach {
            Attach::Cdrom if self.arch == Arch::X86_64 => args.device(json!({
                "driver": "ide-cd", "bus": "ide.0", "id": drive.id, "drive": node,
                "bootindex": order,
            })),
            Attach::Cdrom => {
                let bus = format!("scsi-{}", drive.id);
                args.device(json!({"driver": "virtio-scsi-pci", "id": bus}));
                args.device(json!({
                    "driver": "scsi-cd", "bus": format!("{bus}.0"), "id": drive.id,
                    "drive": node, "bootindex": order,
                }));
            }
            Attach::Usb => {
                let mut device = usb_stick(&drive.id);
                device["bootindex"] = order.into();
                args.device(device);
            }
            Attach::Virtio => args.device(json!({
                "driver": "virtio-blk-pci", "id": drive.id, "drive": node, "bootindex": order,
            })),
            Attach::Nvme => args.device(json!({
                "driver": "nvme", "id": drive.id, "drive": node, "serial": drive.id,
                "bootindex": order,
            })),
        }
        Ok(())
    }
}

/// The name of the block node behind a drive.
pub(crate) fn node_name(id: &str) -> String {
    format!("node-{id}")
}

/// A USB stick as `-device` and `device_add` take it.
pub(crate) fn usb_stick(id: &str) -> serde_json::Value {
    json!({
        "driver": "usb-storage", "bus": "xhci.0", "id": id, "drive": node_name(id),
        "removable": true,
    })
}

/// A block node as `-blockdev` and `blockdev-add` take it.
pub(crate) fn block_node(
    node: &str,
    format: &str,
    path: &str,
    read_only: bool,
) -> serde_json::Value {
    json!({
        "node-name": node, "driver": format, "read-only": read_only,
        "file": {"driver": "file", "filename": path},
    })
}

/// Where the copy of a drive lies that the guest writes to.
pub(crate) fn copy_path(run: &Path, drive: &Drive) -> PathBuf {
    run.join(format!("{}.img", drive.id))
}

/// A path as text, which all of QEMU's arguments are here.
pub(crate) fn text(path: &Path) -> Result<String, BootError> {
    path.to_str().map(str::to_owned).ok_or_else(|| BootError::File {
        path: path.to_owned(),
        source: std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "the name is not UTF-8, which QEMU's options need",
        ),
    })
}

#[derive(Default)]
struct Arguments(Vec<String>);

impl Arguments {
    fn add<const N: usize>(&mut self, args: [&str; N]) {
        self.0.extend(args.map(str::to_owned));
    }

    fn pair(&mut self, option: &str, value: impl Into<String>) {
        self.0.extend([option.to_owned(), value.into()]);
    }

    fn blockdev(&mut self, node: &str, format: &str, path: &str, read_only: bool) {
        self.pair("-blockdev", block_node(node, format, path, read_only).to_string());
    }

    fn uefi(&mut self, uefi: &Uefi, run: &Path, machine: &mut String) -> Result<(), BootError> {
        if let Some(below) = &uefi.below {
            self.pair("-bios", text(below)?);
        }
        for (node, file, read_only) in [("code", "code.fd", true), ("vars", "vars.fd", false)] {
            self.blockdev(node, RAW, &text(&run.join(file))?, read_only);
        }
        machine.push_str(",pflash0=code,pflash1=vars");
        Ok(())
    }

    fn device(&mut self, device: serde_json::Value) {
        self.pair("-device", device.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(machine: &Machine) -> String {
        let tcg = Acceleration::Tcg { reason: "test".into() };
        machine.arguments(&tcg, Path::new("/run dir, 1")).unwrap().join(" ")
    }

    #[test]
    fn a_bare_machine_has_no_network_and_no_defaults() {
        let line = arguments(&Machine::new(Arch::X86_64, Firmware::Default));
        assert!(line.starts_with("-nodefaults -no-user-config"), "{line}");
        assert!(line.contains("-nic none"), "{line}");
        assert!(!line.contains("-netdev"), "{line}");
        assert!(line.contains("-machine q35,vmport=off,accel=tcg"), "{line}");
    }

    #[test]
    fn a_port_is_forwarded_by_the_first_device_alone() {
        let mut machine = Machine::new(Arch::X86_64, Firmware::Default);
        machine.network = vec!["e1000e".into(), "virtio-net-pci".into()];
        machine.forward = Some(22);
        let line = arguments(&machine);
        assert!(line.contains("user,restrict=on,hostfwd=tcp:127.0.0.1:0-:22,id=net0"), "{line}");
        assert!(line.contains("hubport,hubid=0,id=net1"), "{line}");
        machine.model = Model::Microvm;
        let line = arguments(&machine);
        assert!(line.contains("-machine microvm,acpi=off,accel=tcg"), "{line}");
        assert!(!line.contains("-pci") || line.contains("virtio-net-pci"), "{line}");
        assert!(!line.contains("xhci"), "{line}");
    }

    #[test]
    fn drives_are_tried_in_their_order_and_paths_may_hold_anything() {
        let mut machine = Machine::new(
            Arch::Arm64,
            Firmware::Uefi(Uefi { code: "/code".into(), vars: "/vars".into(), below: None }),
        );
        machine.drives = vec![
            Drive {
                id: "boot".into(),
                attach: Attach::Usb,
                path: "/a, b=\"c\".iso".into(),
                access: Access::Copy,
            },
            Drive {
                id: "cd".into(),
                attach: Attach::Cdrom,
                path: "/a, b=\"c\".iso".into(),
                access: Access::ReadWrite,
            },
        ];
        let line = arguments(&machine);
        assert!(line.contains(r#""filename":"/run dir, 1/boot.img""#), "{line}");
        assert!(line.contains(r#""filename":"/a, b=\"c\".iso""#), "{line}");
        assert!(line.contains(r#""bootindex":1,"bus":"xhci.0""#), "{line}");
        assert!(line.contains("pflash0=code,pflash1=vars"), "{line}");
        assert!(!line.contains(r#""driver":"qcow2""#), "{line}");
        machine.drives[0].path = "/a.qcow2".into();
        let line = arguments(&machine);
        assert!(line.contains(r#""driver":"qcow2""#), "{line}");
        machine.model = Model::Microvm;
        assert!(arguments(&machine).contains("-machine virt,accel=tcg"));
        machine.drives[0].id = "a,b".into();
        let tcg = Acceleration::Tcg { reason: String::new() };
        assert!(machine.arguments(&tcg, Path::new("/")).is_err());
    }
}
