//! What is used up too much ends.

use std::time::{Duration, Instant};

use stagex_sandbox::{Limit, Status};

use crate::support::{Root, processes_with};

#[test]
fn wall_clock() {
    let mut root = Root::new();
    root.spec.limits.wall = Some(Duration::from_millis(300));
    let start = Instant::now();
    let (status, text) = root.script("echo before; sleep 98765 & sleep 98765; echo after").run();
    assert_eq!((status, text.as_str()), (Status::Limit(Limit::Wall), "before\n"));
    assert!(start.elapsed() < Duration::from_secs(20));
}

/// Bombs are bounded at once, and end by the limit on processes.
#[test]
fn fork_bomb() {
    let mut root = Root::new();
    root.spec.limits.processes = 60;
    root.spec.limits.wall = Some(Duration::from_secs(60));
    let start = Instant::now();
    // A shell that cannot fork ends; its children stay.
    let bomb = "b() { while :; do sleep 31415 & done; }; \
                sleep 31415 & b 2>/dev/null & b 2>/dev/null & wait";
    let most = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::atomic::AtomicBool::new(false);
    let status = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                most.fetch_max(processes_with("31415"), std::sync::atomic::Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let (status, _) = root.script(bomb).run();
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        status
    });
    assert_eq!(status, Status::Limit(Limit::Processes));
    let most = most.load(std::sync::atomic::Ordering::Relaxed);
    // As root another run of this test may be under way as an ordinary user.
    assert!(most > 30 && most < 1000, "{most} processes");
    assert!(start.elapsed() < Duration::from_secs(50));
}

#[test]
fn disk() {
    let mut root = Root::new();
    root.spec.limits.disk = Some(16 << 20);
    root.spec.limits.wall = Some(Duration::from_secs(60));
    let (status, _) = root
        .script("mkdir d; i=0; while :; do dd if=/dev/zero of=d/$i bs=1M count=4 2>/dev/null; i=$((i+1)); sleep 0.01; done")
        .run();
    assert_eq!(status, Status::Limit(Limit::Disk));
    root.fresh();
    let (status, _) =
        root.script("dd if=/dev/zero of=f bs=1M count=4 2>/dev/null; sleep 0.5").run();
    assert_eq!(status, Status::Exit(0), "less than the limit");
    root.fresh();
    root.spec.limits.disk = None;
    root.spec.limits.disk_reserve = u64::MAX;
    let (status, _) = root.script("sleep 50").run();
    assert_eq!(status, Status::Limit(Limit::DiskReserve));
}

#[test]
fn file_size() {
    let mut root = Root::new();
    root.spec.limits.file_size = Some(1 << 20);
    root.spec.argv =
        ["dd", "if=/dev/zero", "of=f", "bs=1M", "count=9"].iter().map(Into::into).collect();
    assert_eq!(root.run().0, Status::Signal(libc::SIGXFSZ));
    assert_eq!(root.spec.upper.join("f").metadata().unwrap().len(), 1 << 20);
}

#[test]
fn output() {
    let mut root = Root::new();
    root.spec.limits.output = Some(100_000);
    root.spec.limits.wall = Some(Duration::from_secs(60));
    root.spec.argv = vec!["yes".into()];
    let (status, text) = root.run();
    assert_eq!((status, text.len()), (Status::Limit(Limit::Output), 100_000));
}

#[test]
fn open_files_and_memory() {
    let mut root = Root::new();
    root.spec.limits.open_files = 77;
    assert_eq!(root.sh("ulimit -n"), "77\n");
    root.spec.limits.address_space = Some(64 << 20);
    root.fresh();
    let (status, text) = root.script("dd if=/dev/zero of=/dev/null bs=128M count=1").run();
    assert_ne!(status, Status::Exit(0), "{text}");
}
