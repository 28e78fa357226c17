//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueHint};
use stagex_recipe::boxes::Architecture;

use crate::commands::image::ImageCommand;

/// Builds reproducible, bootstrapped OCI layers and boot images.
#[derive(Debug, Parser)]
#[command(
    name = "stagex",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    after_help = "\
Examples:
  stagex box build airgap.iso       build out/x86_64/airgap.iso and all that it needs
  stagex box test airgap            boot it under QEMU and try it
  stagex bootstrap                  climb from the seed to a C compiler, and show each rung
  stagex image fat --from esp -o esp.img
                                    write a FAT volume of what a folder holds
  stagex build core-busybox         build a package and write it to out/core-busybox
  stagex check                      read every recipe and report all that is wrong
  stagex shell core-busybox         look around in a step that failed
  stagex digests                    compare all that is locked in digests/ with what is built
  stagex report airgap              draw what took how long to build, and the critical path
  stagex fetch                      bring every source into the cache, for building offline
  stagex store gc                   remove from the store what nothing needs

Exit codes: 0 done, 1 failed build or check, 2 wrong usage or recipe, 3 mismatch of digests."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The project: the folder of stagex.toml, or one below it
    #[arg(short = 'C', long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) project: Option<PathBuf>,
    /// Where the store and the sources are kept
    #[arg(long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) cache: Option<PathBuf>,
    /// A folder of local sources or a mirror tree, tried before the network (may be repeated)
    #[arg(long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) sources: Vec<PathBuf>,
    /// Leave the network alone
    #[arg(long, global = true)]
    pub(crate) offline: bool,
    /// Jobs at once, in steps and in the makes that they run [default: the cores of this machine]
    #[arg(short, long, global = true, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) jobs: Option<u16>,
    /// After a failure build on what does not depend on it, and tell all failures at the end
    #[arg(short, long, global = true)]
    pub(crate) keep_going: bool,
    /// Allow packages that ask for the network in a RUN to have it
    #[arg(long, global = true)]
    pub(crate) allow_network: bool,
    /// What packages are built with, by its name in stagex.toml [default: $STAGEX_TOOLCHAIN, else
    /// the one it says]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) toolchain: Option<String>,
    /// Print results and errors only
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Build packages and write them as OCI image layouts to out/
    Build(Build),
    /// Show the ladder from the seed to a C compiler, each rung measured; build it if need be
    Bootstrap(Bootstrap),
    /// Build and test boot images
    #[command(subcommand, name = "box")]
    Box(BoxCommand),
    /// Write images of file systems, disks and kernels from folders, tars and OCI image layouts
    #[command(subcommand)]
    Image(Box<ImageCommand>),
    /// Read every recipe of the project, or of a folder of packages, and report all that is wrong
    Check(Check),
    /// Compare what packages hash to with digests/, or lock it there
    Digests(Digests),
    /// Bring the sources of packages, or of all, into the cache
    Fetch(Fetch),
    /// Open a shell in what a failed step left, or in what a package is built in
    Shell(Shell),
    /// Draw what packages and boxes cost to build, and what no number of cores makes faster
    Report(Report),
    /// Look at the store, and clean it
    #[command(subcommand)]
    Store(StoreCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a folder
    Man {
        /// The folder
        #[arg(value_hint = ValueHint::DirPath)]
        folder: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stagex build core-busybox
  stagex build user-gnupg core-musl --no-layout
  stagex build core-musl --arch riscv64
  stagex build user-gnupg --explain")]
pub(crate) struct Build {
    /// Packages by id, such as core-busybox
    #[arg(required = true, value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// Build nothing: say what would be built, and what changed since it was
    #[arg(long)]
    pub(crate) explain: bool,
    /// Do not write OCI image layouts: build into the store only
    #[arg(long)]
    pub(crate) no_layout: bool,
    /// What to build for; layouts go to out/<architecture>/ for others than x86_64
    #[arg(long, default_value = "x86_64", value_parser = architecture)]
    pub(crate) arch: Architecture,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The table shows of each rung what built it, the lines of its own sources, the bytes and the sha256
of what was built, and the CPU seconds that took, as measured when it was built. Digests are
compared with digests/stage0.txt; one that differs ends the command with exit code 3.

Examples:
  stagex bootstrap                  the table
  stagex bootstrap --explain cc2    what cc2 is, what it is built from, where its source lies
  stagex bootstrap --roots          every file that each step could see, and where it comes from
  stagex bootstrap --digests        lines for digests/stage0.txt")]
pub(crate) struct Bootstrap {
    /// Say what a rung is, what it is built from and where its source lies; nothing is built
    #[arg(long, value_name = "RUNG", conflicts_with_all = ["roots", "digests"])]
    pub(crate) explain: Option<String>,
    /// List the root of each step; fail if anything in it is neither source nor made before
    #[arg(long, conflicts_with = "digests")]
    pub(crate) roots: bool,
    /// Print the digests in the form of digests/stage0.txt
    #[arg(long)]
    pub(crate) digests: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BoxCommand {
    /// Build outputs of a box: airgap.iso, or airgap for all of its outputs
    #[command(after_help = "\
Outputs are named by their suffix: .iso, .img (a disk), .efi (a unified kernel image),
.cpio.zst (the initramfs, with the kernel beside it), .qcow2, .eif (a Nitro enclave), .oci (the root
file system as an image for podman, docker and skopeo). .fd stands for the firmware that QEMU boots
the box with: UEFI, and below or beside it OpenSBI or a BIOS.

Examples:
  stagex box build airgap.iso
  stagex box build airgap --arch arm64
  stagex box build airgap.fd --arch riscv64
  stagex box build airgap --locked")]
    Build {
        /// A box, or one output of it
        #[arg(value_name = "NAME[.SUFFIX]", required = true)]
        names: Vec<String>,
        /// What to build for
        #[arg(long, default_value = "x86_64", value_parser = architecture)]
        arch: Architecture,
        /// End with exit code 3 where digests/box.txt has another digest of a file, or none
        #[arg(long)]
        locked: bool,
    },
    /// Boot a box under QEMU and run its scenarios, or boot all of them in every way
    #[command(after_help = "\
With --all, each output is booted on each of the box's architectures in every way that it can be: as
CD-ROM, USB stick, virtio disk, NVMe disk, or as a kernel by itself, by UEFI and, where the box names
one, by a BIOS; as many at once as there are cores (--jobs). A cell is green when all that [test] in
box.toml expects has appeared, the screen shows something and the box has powered itself off. Besides
the table there are out/matrix.xml (JUnit), out/matrix.json, and of each cell the console in out/runs
and its picture in out/pictures.

Examples:
  stagex box test airgap
  stagex box test --all
  stagex box test airgap --all --arch arm64
  stagex box test --all --only 'iso bios' --runs 10")]
    Test {
        /// The box [with --all, default: every box]
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Boot every output on every architecture in every way
        #[arg(long)]
        all: bool,
        /// Run only the scenarios, or cells, whose names contain this
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// What to boot [default: x86_64; with --all, every architecture]
        #[arg(long, value_parser = architecture)]
        arch: Option<Architecture>,
        /// How often each cell is booted
        #[arg(long, value_name = "N", default_value = "1", requires = "all",
            value_parser = clap::value_parser!(u16).range(1..=1000))]
        runs: u16,
    },
    /// Put a box together again in other circumstances, and compare with digests/box.txt
    #[command(after_help = "\
All outputs and the firmware are written again from a copy of the project: below another path, with
files in another order and of other times, by another user where this one is root, with another umask,
time zone, locale, personality, number of threads and of cores. What differs among them is shown as
`stagex image diff` shows it, what differs from the lock is named; both end the command with exit code
3. The packages come from the store; with --twice, every command of them is run once more before, at
another time and place and on one core: kernel, firmware, programs and all that these are made from,
the toolchain aside. Compared is what is taken of what a command leaves, not a log that stays behind.

What was built with a foreign seed is locked in a folder of its name, as digests/debian/box.txt.

Examples:
  stagex box verify airgap
  stagex box verify airgap --arch riscv64
  stagex box verify airgap --twice      build its packages once more, too
  stagex box verify airgap --lock       lock what it is, if all circumstances agree
  stagex box verify                     all that is locked")]
    Verify {
        /// The box [default: all that are locked; with --lock, every box]
        name: Option<String>,
        /// Only this architecture [default: all of the box]
        #[arg(long, value_parser = architecture)]
        arch: Option<Architecture>,
        /// Lock what was found instead of comparing it with what is locked
        #[arg(long)]
        lock: bool,
        /// Run every command of the packages once more, too, and compare what it gives
        #[arg(long)]
        twice: bool,
    },
    /// List the boxes of the project
    List,
}

#[derive(Debug, Args)]
#[command(after_help = "\
digests/<root>.txt holds the digests of packages that are bootstrapped, digests/<seed>/<root>.txt
those of packages that were built with a foreign seed. A digest that differs ends the command with
exit code 3; the first file that differs is named if the store still has what was locked.

Examples:
  stagex digests                            build and compare all that is locked
  stagex digests --update core-musl         lock what core-musl is now
  stagex digests --twice core-musl          also run each of its commands once more, and compare
  stagex digests --afresh                   build all of it in a store that begins empty")]
pub(crate) struct Digests {
    /// Packages by id [default: all that are locked]
    #[arg(value_name = "PACKAGE")]
    pub(crate) packages: Vec<String>,
    /// Lock what was built, in place of comparing it
    #[arg(long)]
    pub(crate) update: bool,
    /// Run every command of the packages once more, at another time and place and on one core,
    /// and compare what it gives
    #[arg(long)]
    pub(crate) twice: bool,
    /// Build in a store that begins empty, and is removed when all is well; one that was stopped
    /// goes on
    #[arg(long)]
    pub(crate) afresh: bool,
    /// What packages that are named are built for
    #[arg(long, default_value = "x86_64", value_parser = architecture)]
    pub(crate) arch: Architecture,
}

#[derive(Debug, Args)]
pub(crate) struct Check {
    /// A folder that holds packages at any depth [default: the project's]
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
What lies in folders of local sources is copied into the cache as well, so that the folder `sources`
of the cache is all that a machine without a network needs.

Examples:
  stagex fetch
  stagex fetch airgap user-gnupg")]
pub(crate) struct Fetch {
    /// Packages or boxes [default: all of the project]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
The chart is an SVG file. It shows each stage at the earliest time at which it can begin, by what
its steps took when they ran, whenever that was. What is not built as its recipe stands has no times
and is listed, unless --build builds it first. Of a box it shows what `stagex box build` needs of it.

Examples:
  stagex report airgap
  stagex report airgap --build
  stagex report user-gnupg --output gnupg.svg")]
pub(crate) struct Report {
    /// Packages or boxes
    #[arg(required = true, value_name = "NAME")]
    pub(crate) names: Vec<String>,
    /// Build what is missing first
    #[arg(long)]
    pub(crate) build: bool,
    /// Where the chart goes [default: out/report.svg]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,
    /// What it is built for
    #[arg(long, default_value = "x86_64", value_parser = architecture)]
    pub(crate) arch: Architecture,
}

#[derive(Debug, Args)]
pub(crate) struct Shell {
    /// The package
    pub(crate) package: String,
    /// Enter this stage instead of what the last failure left
    #[arg(long, value_name = "NAME")]
    pub(crate) stage: Option<String>,
    /// What the package is built for
    #[arg(long, default_value = "x86_64", value_parser = architecture)]
    pub(crate) arch: Architecture,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Say how much the store holds, and where it is
    Du,
    /// Remove what no package or box that was built last needs
    Gc,
}

pub(crate) fn architecture(text: &str) -> Result<Architecture, String> {
    Architecture::parse(text).ok_or_else(|| {
        let known: Vec<&str> = Architecture::ALL.iter().map(|each| each.name()).collect();
        format!("known are {}", known.join(", "))
    })
}
